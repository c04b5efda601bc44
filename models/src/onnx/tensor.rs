//! A constant of a graph: element type, extents, bytes. Little-endian rows as the file has them, or numbers that it lists one by one.

use crate::error::{Fault, Refusal};
use crate::onnx::DIMENSIONS_MAX;
use crate::onnx::wire::Message;
use std::borrow::Cow;

/// What a tensor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `float`.
    F32,
    /// `uint8`.
    U8,
    /// `int8`.
    I8,
    /// `int32`.
    I32,
    /// `int64`.
    I64,
}

impl Element {
    /// By ONNX's number.
    pub fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::F32,
            2 => Self::U8,
            3 => Self::I8,
            6 => Self::I32,
            7 => Self::I64,
            _ => return None,
        })
    }

    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I32 => "int32",
            Self::I64 => "int64",
        }
    }
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<'m> {
    /// Its name.
    pub name: &'m str,
    /// Of what.
    pub element: Element,
    /// Extents; none for a single number.
    pub shape: Vec<usize>,
    /// As many elements, little-endian.
    pub bytes: Cow<'m, [u8]>,
}

/// The fields of a tensor before they are held against each other.
#[derive(Default)]
pub(super) struct Parts<'m> {
    pub name: &'m str,
    pub dims: Vec<i64>,
    pub element: i64,
    pub raw: Option<&'m [u8]>,
    /// Little-endian bytes of `float_data`, as packed lists have them.
    pub floats: Vec<u8>,
    /// `int32_data` and `int64_data`.
    pub integers: Vec<i64>,
    pub at: usize,
}

impl<'m> Parts<'m> {
    pub fn packed(&mut self, list: Message<'m>, most: usize) -> Result<(), Refusal> {
        let left = most.saturating_sub(self.integers.len());
        self.integers.extend(list.varints(left)?.into_iter().map(|value| value as i64));
        Ok(())
    }

    pub fn tensor(self) -> Result<Tensor<'m>, Refusal> {
        let place = format!("tensor `{}`", self.name);
        let refuse = |why: String| Refusal { fault: Fault::Malformed, at: Some(self.at), place: place.clone(), why };
        let element = Element::from_number(self.element).ok_or_else(|| Refusal {
            at: Some(self.at),
            ..Refusal::unsupported(&place, format!("elements of type {}: float, uint8, int8, int32 or int64", self.element))
        })?;
        if self.dims.len() > DIMENSIONS_MAX {
            return Err(refuse(format!("{} dimensions, {DIMENSIONS_MAX} at most", self.dims.len())));
        }
        let shape: Option<Vec<usize>> = self.dims.iter().map(|&extent| usize::try_from(extent).ok()).collect();
        let shape = shape.ok_or_else(|| refuse("a negative extent".into()))?;
        let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        let wanted =
            count.and_then(|count| count.checked_mul(element.bytes())).ok_or_else(|| refuse("more elements than can be counted".into()))?;
        let bytes = match self.raw {
            Some(raw) if self.floats.is_empty() && self.integers.is_empty() => Cow::Borrowed(raw),
            Some(_) => return Err(refuse("its elements are given twice".into())),
            None => Cow::Owned(self.listed(element).map_err(|why| refuse(why.into()))?),
        };
        if bytes.len() != wanted {
            return Err(refuse(format!("{} bytes, where its shape {shape:?} of {} has {wanted}", bytes.len(), element.name())));
        }
        let tensor = Tensor { name: self.name, element, shape, bytes };
        if tensor.floats().is_some_and(|mut floats| floats.any(|value| !value.is_finite())) {
            return Err(refuse("not a number, or infinite".into()));
        }
        Ok(tensor)
    }

    /// Elements that are listed one by one.
    fn listed(&self, element: Element) -> Result<Vec<u8>, &'static str> {
        if element == Element::F32 {
            return if self.integers.is_empty() { Ok(self.floats.clone()) } else { Err("integers in a tensor of floats") };
        }
        if !self.floats.is_empty() {
            return Err("floats in a tensor of integers");
        }
        let mut bytes = Vec::with_capacity(self.integers.len() * element.bytes());
        for &value in &self.integers {
            let fits = match element {
                Element::U8 => u8::try_from(value).is_ok(),
                Element::I8 => i8::try_from(value).is_ok(),
                Element::I32 => i32::try_from(value).is_ok(),
                _ => true,
            };
            if !fits {
                return Err("an element beyond its type");
            }
            bytes.extend_from_slice(&value.to_le_bytes()[..element.bytes()]);
        }
        Ok(bytes)
    }
}

impl Tensor<'_> {
    /// How many elements.
    pub fn count(&self) -> usize {
        self.bytes.len() / self.element.bytes()
    }

    /// It as floats, if it is one.
    pub fn floats(&self) -> Option<impl Iterator<Item = f32> + '_> {
        let chunks = self.bytes.as_chunks::<4>().0;
        (self.element == Element::F32).then(|| chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)))
    }

    /// It as integers, if it is one of those.
    pub fn integers(&self) -> Option<Vec<i64>> {
        Some(match self.element {
            Element::F32 => return None,
            Element::U8 => self.bytes.iter().map(|&byte| byte.into()).collect(),
            Element::I8 => self.bytes.iter().map(|&byte| (byte as i8).into()).collect(),
            Element::I32 => self.bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_le_bytes(*bytes).into()).collect(),
            Element::I64 => self.bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        })
    }
}
