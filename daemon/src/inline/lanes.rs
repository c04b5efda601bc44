//! Who of a batch is to be asked by which model: lists in one small arena, taken in the order of the registry, trials last.
//!
//! ```text
//! active   ·1··1···   enforced models with somebody waiting        lane 1 ─► 7 ─► 3 ─► 0
//!          ······1·   models on trial                              lane 4 ─► 3
//! ```
//! A batch has at most `BATCH_MAX` keys, and the registry's router leads each to at most `PER_KEY_MAX` models, so the arena never grows.

use verdict_models::native::BATCH_MAX;
use verdict_models::registry::{MODELS_MAX, PER_KEY_MAX};

const ASKS_MAX: usize = BATCH_MAX * PER_KEY_MAX;
const NONE: u16 = u16::MAX;
const WORDS: usize = MODELS_MAX.div_ceil(64);

/// Lists of keys, by model.
#[derive(Debug)]
pub struct Lanes {
    heads: Vec<u16>,
    asks: Vec<(u8, u16)>,
    /// Enforced, on trial.
    active: [[u64; WORDS]; 2],
}

const _: () = assert!(BATCH_MAX <= 256 && ASKS_MAX < NONE as usize);

impl Lanes {
    /// Of so many models.
    pub fn new(models: usize) -> Self {
        Self { heads: vec![NONE; models], asks: Vec::with_capacity(ASKS_MAX), active: [[0; WORDS]; 2] }
    }

    /// Nobody waits.
    pub fn clear(&mut self) {
        self.asks.clear();
        for class in 0..2 {
            while let Some(place) = self.first(class) {
                self.heads[usize::from(place)] = NONE;
            }
        }
    }

    /// The key waits for the model. A key more than there is room for is not added: the router leads to no more.
    #[inline]
    pub fn ask(&mut self, place: u16, on_trial: bool, key: u8) {
        let Some(head) = self.heads.get_mut(usize::from(place)) else { return };
        if self.asks.len() < ASKS_MAX {
            self.asks.push((key, *head));
            *head = (self.asks.len() - 1) as u16;
            self.active[usize::from(on_trial)][usize::from(place) / 64] |= 1 << (place % 64);
        }
    }

    /// The next model with keys that wait for it, which are put into `keys`: enforced ones first, each kind in the order of the registry.
    #[inline]
    pub fn next(&mut self, keys: &mut Vec<u8>) -> Option<u16> {
        let place = self.first(0).or_else(|| self.first(1))?;
        keys.clear();
        let mut at = std::mem::replace(&mut self.heads[usize::from(place)], NONE);
        while at != NONE {
            let (key, next) = self.asks[usize::from(at)];
            keys.push(key);
            at = next;
        }
        keys.reverse();
        Some(place)
    }

    /// Takes the lowest one off.
    #[inline]
    fn first(&mut self, class: usize) -> Option<u16> {
        let word = self.active[class].iter().position(|&word| word != 0)?;
        let bits = &mut self.active[class][word];
        let bit = bits.trailing_zeros();
        *bits &= *bits - 1;
        Some((word as u32 * 64 + bit) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lanes: &mut Lanes) -> Vec<(u16, Vec<u8>)> {
        let mut keys = Vec::new();
        std::iter::from_fn(|| lanes.next(&mut keys).map(|place| (place, keys.clone()))).collect()
    }

    #[test]
    fn enforced_models_come_first_and_keys_keep_their_order() {
        let mut lanes = Lanes::new(300);
        for (place, on_trial, key) in [(200, false, 3), (7, true, 3), (200, false, 5), (64, false, 5), (7, true, 9)] {
            lanes.ask(place, on_trial, key);
        }
        assert_eq!(all(&mut lanes), [(64, vec![5]), (200, vec![3, 5]), (7, vec![3, 9])]);
        assert_eq!(all(&mut lanes), []);
    }

    #[test]
    fn a_later_stage_that_is_asked_meanwhile_has_its_turn() {
        let (mut lanes, mut keys) = (Lanes::new(3), Vec::new());
        lanes.ask(0, false, 1);
        lanes.ask(2, true, 1);
        assert_eq!(lanes.next(&mut keys), Some(0));
        lanes.ask(1, false, 1);
        assert_eq!(all(&mut lanes), [(1, vec![1]), (2, vec![1])]);
    }

    #[test]
    fn what_is_too_much_or_unknown_is_not_added() {
        let mut lanes = Lanes::new(2);
        lanes.ask(2, false, 0);
        (0..2 * ASKS_MAX).for_each(|_| lanes.ask(1, false, 0));
        assert_eq!(all(&mut lanes)[0].1.len(), ASKS_MAX);
        lanes.clear();
        lanes.ask(0, false, 4);
        lanes.clear();
        assert_eq!(all(&mut lanes), []);
    }
}
