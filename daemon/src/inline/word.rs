//! What models said of one key, in 32 bits, and the answer that it makes of *unknown*.
//!
//! ```text
//! score 7 │ head 3 │ place 10 │ says 2 │ asked 1 │ a model on trial says otherwise 1
//! ```

use super::served::Served;
use verdict_models::native::HEADS_MAX;
use verdict_models::registry::{Entry, MODELS_MAX, Says, Word};
use verdict_tables::{Class, Verdict, flag};

/// What models said of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held(pub u32);

const HEAD: u32 = 7;
const PLACE: u32 = 10;
const SAYS: u32 = 20;
const ASKED: u32 = 1 << 22;
const DISAGREES: u32 = 1 << 23;
const _: () = assert!(HEADS_MAX <= 8 && MODELS_MAX <= 1 << (SAYS - PLACE));

impl Held {
    /// An enforced model's word: it replaces what says less, and a later stage of a cascade what says no more than it.
    #[inline]
    pub fn take(&mut self, place: u16, model: &Entry, word: Word) {
        let (says, score) = (word.says as u32, u32::from(word.score));
        let stronger = (says, score) > (self.says(), self.0 & 127);
        let later = model.gate.after.is_some() && says >= self.says();
        if self.0 & ASKED == 0 || stronger || later {
            self.0 = self.0 & DISAGREES | ASKED | says << SAYS | u32::from(place) << PLACE | u32::from(word.head) << HEAD | score;
        }
    }

    /// A model on trial said this; true if that is not what is answered.
    #[inline]
    pub fn compare(&mut self, word: Word) -> bool {
        let otherwise = word.says as u32 != self.says();
        self.0 |= if otherwise { DISAGREES } else { 0 };
        otherwise
    }

    /// A model that is enforced was asked.
    pub fn was_asked(self) -> bool {
        self.0 & ASKED != 0
    }

    /// The answer in place of *unknown*.
    #[inline]
    pub fn verdict(self, served: &Served) -> Verdict {
        let disagrees = if self.0 & DISAGREES != 0 { flag::SHADOW_DISAGREES } else { 0 };
        if !self.was_asked() {
            return Verdict { flags: disagrees, ..Verdict::default() };
        }
        let (place, head) = ((self.0 >> PLACE & 1023) as u16, (self.0 >> HEAD & 7) as u8);
        let (class, categories) = match self.says() {
            says if says == Says::Malicious as u32 => (Class::Malicious, served.categories(place, head)),
            says if says == Says::Suspicious as u32 => (Class::Suspicious, served.categories(place, head)),
            _ => (Class::Unknown, 0),
        };
        let [a, b, c, _] = served.id(place, head).to_le_bytes();
        Verdict { outcome: (class as u8) << 4, score: (self.0 & 127) as u8, categories, flags: flag::FROM_MODEL | disagrees, id: [a, b, c] }
    }

    fn says(self) -> u32 {
        self.0 >> SAYS & 3
    }
}
