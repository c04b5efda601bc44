//! NOTIFY: messages with arguments, as HAProxy's configuration names them.
//!
//! ```text
//!  payload    message*      message    name string │ arguments u8 │ argument*      argument    name string │ typed value
//! ```

use super::data::{Reader, Value};
use super::frame::Status;

/// One message, whose arguments come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// As `spoe-message` calls it.
    pub name: &'a [u8],
    /// How many arguments follow.
    pub arguments: u8,
}

/// Reads a payload from front to back: a message, then as many arguments as it says, and so on.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
}

impl<'a> Messages<'a> {
    /// Of the payload of a NOTIFY.
    pub fn new(payload: &'a [u8]) -> Self {
        Messages { reader: Reader::new(payload) }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// `Invalid` where the payload ends within it.
    pub fn message(&mut self) -> Result<Option<Message<'a>>, Status> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let message = (|| Some(Message { name: self.reader.text()?, arguments: self.reader.byte()? }))();
        message.map(Some).ok_or(Status::Invalid)
    }

    /// The next argument of the message that came last: its name, which may be empty, and its value.
    ///
    /// # Errors
    /// `Invalid` where the payload ends within it, or the value is of no known type.
    pub fn argument(&mut self) -> Result<(&'a [u8], Value<'a>), Status> {
        (|| Some((self.reader.text()?, self.reader.value()?)))().ok_or(Status::Invalid)
    }
}
