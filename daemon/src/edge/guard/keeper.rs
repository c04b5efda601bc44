//! Certificates and token while the daemon runs: looked at now and then, and at SIGHUP; on the control thread.

use super::admin::read_token;
use super::config::TlsConfig;
use super::material::{LOOK_MS, Material};
use crate::control::{Requests, State};
use crate::limits::TICK_MS;
use crate::mailbox::{Mailbox, ToShard};
use crate::tasks;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// What is kept up to date.
#[derive(Debug)]
pub struct Keeper {
    /// With what is spoken now.
    pub tls: Option<(TlsConfig, Material)>,
    /// The file of the admin listener's token; empty = none.
    pub token: PathBuf,
}

impl Keeper {
    /// Whether there is anything to look at.
    pub fn has_work(&self) -> bool {
        self.tls.is_some() || !self.token.as_os_str().is_empty()
    }

    /// Until the executor ends.
    pub async fn keep(mut self, shards: Vec<Mailbox>, state: Rc<State>) {
        let mut told = String::new();
        if let Some((_, material)) = &self.tls {
            state.metrics.control.guard.expires_s.set(material.expires_s);
        }
        for tick in 1u64.. {
            tasks::sleep(Duration::from_millis(TICK_MS)).await;
            let asked = state.guard_asked.get();
            if !asked && tick % (LOOK_MS / TICK_MS) != 0 {
                continue;
            }
            let refused_token = if asked { self.look_at_token(&state) } else { None };
            let refused = self.look_at_certificates(&shards, &state, (&mut told, asked));
            if asked {
                state.guard_note.replace([refused_token, refused].into_iter().flatten().collect::<Vec<_>>().join("; "));
                state.guard_asked.set(false);
                state.wake.get().into_iter().for_each(Requests::wake);
            }
        }
    }

    /// What is wrong with it, if something is.
    fn look_at_token(&self, state: &State) -> Option<String> {
        match read_token(&self.token) {
            Ok(token) => state.door.take_token(token),
            Err(why) => {
                tracing::error!("the token of before is taken on: {why}");
                return Some(format!("token refused, that of before is taken on: {why}"));
            }
        }
        None
    }

    /// Likewise. `told`: what was told before, and whether it is to be told again.
    fn look_at_certificates(&mut self, shards: &[Mailbox], state: &State, (told, again): (&mut String, bool)) -> Option<String> {
        let numbers = &state.metrics.control.guard;
        let (config, material) = self.tls.as_mut()?;
        match material.read_again(config) {
            Ok(None) => told.clear(),
            Ok(Some(new)) => {
                told.clear();
                *material = new;
                numbers.exchanged.add(1);
                numbers.expires_s.set(material.expires_s);
                tracing::info!(expires_s = material.expires_s, "certificates exchanged; connections from now on see the new ones");
                state.door.take_tls(material.config.clone());
                shards.iter().for_each(|shard| shard.send(ToShard::Tls(material.config.clone())));
            }
            Err(why) => {
                // The same again every two seconds would fill a disk.
                if why != *told || again {
                    numbers.refused.add(1);
                    tracing::error!("certificates refused, those before are shown on: {why}");
                    told.clone_from(&why);
                }
                return Some(format!("certificates refused, those before are shown on: {why}"));
            }
        }
        None
    }
}
