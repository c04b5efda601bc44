//! From a feed's text to a signature: the text that canonical URLs hold where they mean it, or the reason why there is none.
//!
//! ```text
//! /Gate.PHP?id=      ──► /gate.php?id=          case does not matter
//! /a b/%67ate.php    ──► /a%20b/gate.php        one way of escaping, as in canonicalisation.md
//! .com               ──► signature-too-short    index.php ──► signature-too-general
//! ```
//! A signature lists every URL that holds it, of whomever. So texts that stand in plain URLs are refused, allow rules not excepted: an allow rule
//! for `/login` would open the door to every phishing page.

use crate::reason::Reason;
use verdict_tables::{Part, SIGNATURE_BYTES_MAX, SIGNATURE_BYTES_MIN};

/// What everybody's URLs are made of. A signature that stands in one of these is too general.
const PLAIN: [&str; 20] = [
    "https://www.example.com/index.html?id=1&page=2&lang=en",
    "http://www.example.org/index.php?page=home&action=view&user_id=10",
    "https://mail.example.net/account/login.php?redirect=https%3a%2f%2fwww.example.com",
    "https://accounts.example.co.uk/signin/verify/password/reset/index.html",
    "https://blog.example.com/wp-content/uploads/2024/01/image.jpg",
    "https://shop.example.com/wp-includes/js/jquery/jquery.min.js?ver=3.7.1",
    "https://example.com/wp-admin/admin-ajax.php?action=update",
    "https://example.com/wp-content/plugins/woocommerce/assets/css/style.css",
    "https://example.com/wp-content/themes/default/images/logo.png",
    "https://example.com/wp-login.php?action=logout",
    "https://example.com/category/news/article.html?utm_source=newsletter&utm_medium=email&utm_campaign=summer",
    "https://cdn.example.net/static/assets/javascript/bundle/main.min.js",
    "https://api.example.com/api/v1/users/search?query=test&limit=100&offset=0",
    "https://www.example.com/products/product.html?product_id=123456789",
    "https://download.example.org/download/files/release/setup.exe",
    "https://secure.example.com/admin/login.aspx?returnurl=default.aspx",
    "https://support.example.com/contact.html /about.html /privacy.html /terms.html /sitemap.xml /robots.txt /favicon.ico",
    "https://portal.example.info/user/profile/settings/account/update.php",
    "https://forum.example.biz/forum/viewtopic.php?f=2&t=1234",
    "https://online.example.net/service/services/client/customer/payment/checkout/cart.jsp",
];

/// The normal form of a signature of this part.
pub fn normal(raw: &[u8], part: Part) -> Result<String, Reason> {
    if raw.is_empty() {
        return Err(Reason::EmptyIndicator);
    }
    let text = match part {
        Part::Host => of_host(raw)?,
        Part::Url => of_url(raw)?,
    };
    if text.len() < SIGNATURE_BYTES_MIN {
        return Err(Reason::SignatureTooShort);
    }
    if text.len() > SIGNATURE_BYTES_MAX {
        return Err(Reason::SignatureTooLong);
    }
    if is_general(&text) { Err(Reason::SignatureTooGeneral) } else { Ok(text) }
}

fn is_general(text: &str) -> bool {
    let mut letters: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
    letters.sort_unstable();
    letters.dedup();
    let only_digits = text.len() < 8 && !text.bytes().any(|byte| byte.is_ascii_alphabetic());
    letters.len() < 3 || only_digits || PLAIN.iter().any(|plain| plain.contains(text))
}

fn of_host(raw: &[u8]) -> Result<String, Reason> {
    let text = String::from_utf8(raw.to_ascii_lowercase()).map_err(|_| Reason::SignatureNotCanonical)?;
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if text.contains("..") || !text.bytes().all(of_a_name) { Err(Reason::SignatureNotCanonical) } else { Ok(text) }
}

/// Unescaped until stable, escaped once, in lower case. What means one thing in a path and another in a query (`%3f`, backslashes) is refused.
fn of_url(raw: &[u8]) -> Result<String, Reason> {
    let bytes = unescaped(raw);
    let was_escaped = |byte: u8| bytes.iter().filter(|other| **other == byte).count() > raw.iter().filter(|other| **other == byte).count();
    if raw.contains(&b'#') || bytes.contains(&b'\\') || was_escaped(b'?') {
        return Err(Reason::SignatureNotCanonical);
    }
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes.to_ascii_lowercase() {
        match byte {
            b'#' | b'%' | ..=b' ' | 0x7F.. => text.push_str(&format!("%{byte:02x}")),
            _ => text.push(char::from(byte)),
        }
    }
    let path = &text[..text.find(['?', '=', '&']).unwrap_or(text.len())];
    if ["//", "/./", "/../"].iter().any(|never| path.contains(never)) { Err(Reason::SignatureNotCanonical) } else { Ok(text) }
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut text: Vec<u8> = Vec::with_capacity(raw.len());
    for byte in raw {
        text.push(*byte);
        while let [.., b'%', high, low] = *text.as_slice()
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            text.truncate(text.len() - 3);
            text.push(high << 4 | low);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_what_canonical_urls_hold() {
        let check = |raw: &str, part, expected: Result<&str, Reason>| {
            assert_eq!(normal(raw.as_bytes(), part).as_deref(), expected.as_ref().map(|text| *text), "{raw}");
        };
        check("/Panel/Gate.PHP?id=", Part::Url, Ok("/panel/gate.php?id="));
        check("/a b/%67ate-x.php", Part::Url, Ok("/a%20b/gate-x.php"));
        check("/stra%C3%9Fe", Part::Url, Ok("/stra%c3%9fe"));
        check("/straße", Part::Url, Ok("/stra%c3%9fe"));
        check("goto=http://", Part::Url, Ok("goto=http://"));
        check("/panel//gate", Part::Url, Err(Reason::SignatureNotCanonical));
        check("/panel/../gate", Part::Url, Err(Reason::SignatureNotCanonical));
        check("/panel%3Fx=gate", Part::Url, Err(Reason::SignatureNotCanonical));
        check("panel#gate", Part::Url, Err(Reason::SignatureNotCanonical));
        check("panel\\gate", Part::Url, Err(Reason::SignatureNotCanonical));
        check("Login-Bank", Part::Host, Ok("login-bank"));
        check("login/bank", Part::Host, Err(Reason::SignatureNotCanonical));
        check("bücher", Part::Host, Err(Reason::SignatureNotCanonical));
        check("gate", Part::Url, Err(Reason::SignatureTooShort));
        check(&"gate7".repeat(60), Part::Url, Err(Reason::SignatureTooLong));
    }

    #[test]
    fn what_ordinary_urls_hold_is_refused() {
        for text in [
            "https:",
            "http://",
            ".com/",
            "www.e",
            "/index",
            "index.php",
            "/wp-content/",
            "/login.php",
            "aaaaaaa",
            "-----",
            "2024/01",
            "123456",
        ] {
            let got = normal(text.as_bytes(), Part::Url);
            assert!(matches!(got, Err(Reason::SignatureTooGeneral | Reason::SignatureNotCanonical)), "{text}: {got:?}");
        }
    }
}
