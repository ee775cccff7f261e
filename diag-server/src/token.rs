//! The token, and how a request shows it.

use std::path::Path;

use axum::http::HeaderValue;
use diag::Config;

/// Far above any token; a file this long is the wrong file.
const MOST_BYTES: u64 = 4096;

/// A secret that clients show.
#[derive(Clone)]
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// What the settings ask for: a token, one that is of no use, or none.
    pub(crate) fn configured(config: &Config) -> Option<Result<Self, String>> {
        let given = config.token.as_ref().map(|t| Self::new(t.reveal(), "the token (DIAG_TOKEN)"));
        given.or_else(|| config.token_file.as_deref().map(Self::read))
    }

    /// The content of the file, without white space around it.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
            .map_err(|e| format!("cannot read the token file {}: {e}", path.display()))?;
        Self::new(&text, &format!("the token file {}", path.display()))
    }

    /// `what` names it in an error, which never tells the token itself.
    fn new(text: &str, what: &str) -> Result<Self, String> {
        let token = text.trim();
        if token.is_empty() {
            return Err(format!("{what} is empty; it must be a long random text"));
        }
        if text.len() as u64 > MOST_BYTES || token.contains(char::is_whitespace) {
            return Err(format!("{what} must be one word, at most {MOST_BYTES} bytes"));
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

    /// An early exit would make the first of these a thousand times faster than the last. The fastest of many runs counts, so
    /// that a busy machine does not.
    #[test]
    fn comparing_takes_as_long_wherever_they_differ() {
        let token = Token(vec![b'a'; MOST_BYTES as usize]);
        let fastest = |wrong_at: usize| {
            let mut shown = token.0.clone();
            shown[wrong_at] = b'b';
            let run = || {
                let start = std::time::Instant::now();
                assert!(!token.equals(std::hint::black_box(&shown)));
                start.elapsed()
            };
            (0..500).map(|_| run()).min().unwrap()
        };
        let (first, last) = (fastest(0), fastest(MOST_BYTES as usize - 1));
        assert!(first * 4 > last && last * 4 > first, "{first:?} and {last:?}");
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
        assert!(read("two words\n").unwrap_err().contains("must be one word"));
        assert!(read(&"x".repeat(5000)).unwrap_err().contains("at most 4096 bytes"));
        assert!(Token::read(&dir.path().join("none")).unwrap_err().contains("cannot read the token file"));
        assert_eq!(format!("{:?}", read("secret").unwrap()), "Token(hidden)");
    }
}
