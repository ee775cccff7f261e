//! The token, and how a request shows it.

use std::path::Path;

use axum::http::HeaderValue;

/// Far above any token; a file this long is the wrong file.
const MOST_BYTES: u64 = 4096;

/// A secret that clients show.
#[derive(Clone)]
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// The first line's worth of the file, without white space around it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
            .map_err(|e| format!("cannot read the token file {}: {e}", path.display()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(format!(
                "the token file {} is empty; write a long random text into it",
                path.display()
            ));
        }
        if text.len() as u64 > MOST_BYTES || token.contains(char::is_whitespace) {
            return Err(format!(
                "the token file {} must hold one word, at most {MOST_BYTES} bytes",
                path.display()
            ));
        }
        Ok(Self(token.as_bytes().to_vec()))
    }

    /// Whether an `Authorization` header shows the token: `Bearer TOKEN`, or Basic with it as the password.
    pub(crate) fn is_shown_by(&self, authorization: &HeaderValue) -> bool {
        let Ok(text) = authorization.to_str() else { return false };
        let Some((scheme, credentials)) = text.split_once(' ') else { return false };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.equals(credentials.as_bytes());
        }
        if scheme.eq_ignore_ascii_case("basic")
            && let Some(decoded) = decode_base64(credentials)
            && let Some(colon) = decoded.iter().position(|&b| b == b':')
            && let Some(password) = decoded.get(colon + 1..)
        {
            return self.equals(password);
        }
        false
    }

    /// In a time that depends on the length of `shown` only.
    fn equals(&self, shown: &[u8]) -> bool {
        let mut difference = u8::from(shown.len() != self.0.len());
        for (i, &byte) in shown.iter().enumerate() {
            let expected = self.0.get(i % self.0.len()).copied().unwrap_or_default();
            difference = std::hint::black_box(difference | (byte ^ expected));
        }
        difference == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// RFC 4648, standard alphabet, padding optional.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(token: &str, header: &str) -> bool {
        Token(token.as_bytes().to_vec()).is_shown_by(&HeaderValue::from_str(header).unwrap())
    }

    #[test]
    fn base64_as_in_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decode_base64(text).unwrap(), expected.as_bytes(), "{text}");
        }
        assert_eq!(decode_base64("Z*=="), None);
    }

    #[test]
    fn bearer_and_basic() {
        assert!(shown("secret", "Bearer secret"));
        assert!(shown("secret", "bearer secret"));
        assert!(shown("secret", "Basic dXNlcjpzZWNyZXQ="), "user:secret");
        assert!(shown("a:b", "Basic dTphOmI="), "u:a:b, the token may hold colons");
    }

    #[test]
    fn near_misses() {
        for header in [
            "Bearer secre",
            "Bearer secretsecret",
            "Bearer secrets",
            "Bearer ",
            "Bearer",
            "secret",
            "Basic c2VjcmV0OnVzZXI=", // secret:user
            "Basic c2VjcmV0",         // secret, no colon
            "Digest secret",
        ] {
            assert!(!shown("secret", header), "{header}");
        }
    }

    #[test]
    fn token_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Token::read(&path)
        };
        assert!(read("  secret\n").unwrap().is_shown_by(&HeaderValue::from_static("Bearer secret")));
        assert!(read(" \n").unwrap_err().contains("is empty"));
        assert!(read("two words\n").unwrap_err().contains("one word"));
        assert!(read(&"x".repeat(5000)).unwrap_err().contains("at most 4096 bytes"));
        assert!(Token::read(&dir.path().join("none")).unwrap_err().contains("cannot read the token file"));
        assert_eq!(format!("{:?}", read("secret").unwrap()), "Token(hidden)");
    }
}
