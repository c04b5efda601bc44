//! The configuration as the shards use it: every argument that is a key has a number, by which a reply finds its name again.

use super::config::{Argument, Scope, SpopConfig, Variable};

/// An argument that is a key.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// As HAProxy calls it.
    pub name: String,
    /// What it is.
    pub argument: Argument,
}

/// How one message is understood: a piece of `Mapping::arguments`.
#[derive(Clone, Copy, Debug)]
pub struct Understood {
    first: u8,
    end: u8,
    /// Where its variables are set.
    pub scope: Scope,
}

/// Section `[spop]`, made ready.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Of HELLO.
    pub frame_bytes_max: usize,
    /// For models; 0 = as they have it.
    pub budget_us: u32,
    /// In the order in which they are told: what matters most comes first, should a frame be full.
    pub variables: Vec<Variable>,
    arguments: Vec<Mapped>,
    any: Understood,
    messages: Vec<(String, Understood)>,
}

impl Default for Mapping {
    fn default() -> Self {
        Mapping::of(&SpopConfig::default())
    }
}

impl Mapping {
    /// Of a configuration that `check` found nothing wrong with; what is past its bounds is left out.
    pub fn of(config: &SpopConfig) -> Self {
        let mut arguments = Vec::new();
        let mut understood = |own: &std::collections::BTreeMap<String, Argument>, scope| {
            let first = arguments.len() as u8;
            arguments.extend(own.iter().map(|(name, argument)| Mapped { name: name.clone(), argument: *argument }));
            arguments.truncate(u8::MAX.into());
            Understood { first, end: arguments.len() as u8, scope }
        };
        let any = understood(&config.arguments, config.scope);
        let messages = config.message.iter().map(|message| {
            let scope = message.scope.unwrap_or(config.scope);
            (message.name.clone(), understood(&message.arguments, scope))
        });
        let messages = messages.collect();
        Mapping {
            frame_bytes_max: config.frame_bytes_max,
            budget_us: config.budget_us,
            variables: config.variables.clone(),
            arguments,
            any,
            messages,
        }
    }

    /// How a message of that name is understood.
    pub fn message(&self, name: &[u8]) -> Understood {
        let own = self.messages.iter().find(|(own, _)| own.as_bytes() == name);
        own.map_or(self.any, |(_, understood)| *understood)
    }

    /// The number of an argument of such a message, and what it is; `None`: no key.
    pub fn argument(&self, message: Understood, name: &[u8]) -> Option<(u8, Argument)> {
        let (first, end) = (message.first, message.end);
        let place = self.arguments[first.into()..end.into()].iter().position(|mapped| mapped.name.as_bytes() == name)?;
        let number = first + place as u8;
        Some((number, self.arguments[usize::from(number)].argument))
    }

    /// The name of an argument, by its number.
    pub fn name(&self, number: u8) -> &str {
        self.arguments.get(usize::from(number)).map_or("", |mapped| &mapped.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_arguments_of_its_own_has_no_others() {
        let text = "arguments = { url = \"url\" }\n[[message]]\nname = \"upload\"\nscope = \"sess\"\narguments = { body = \"sha256\" }";
        let mapping = Mapping::of(&toml::from_str(text).unwrap());
        let (upload, other) = (mapping.message(b"upload"), mapping.message(b"other"));
        assert_eq!((mapping.argument(upload, b"url"), mapping.argument(other, b"body")), (None, None));
        assert_eq!(mapping.argument(upload, b"body"), Some((1, Argument::Sha256)));
        assert_eq!((mapping.name(0), mapping.name(1), mapping.name(9)), ("url", "body", ""));
        assert_eq!((upload.scope, other.scope), (Scope::Sess, Scope::Txn));
    }
}
