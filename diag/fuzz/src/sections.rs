//! An input that is several files: `==> NAME <==`, a line feed and the content, up to the next such line. As `head` prints several
//! files, so that seeds can be read and written by hand.

const START: &[u8] = b"==> ";
const END: &[u8] = b" <==\n";
/// Files of one input.
const MOST: usize = 32;

/// Names and contents. What stands before the first name is left out.
pub fn sections(input: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    let mut rest = input;
    while found.len() < MOST {
        let Some(start) = find(rest, START) else { break };
        let after = &rest[start + START.len()..];
        let Some(end) = find(after, END) else { break };
        let content = &after[end + END.len()..];
        let length = find(content, START).unwrap_or(content.len());
        found.push((String::from_utf8_lossy(&after[..end]).into_owned(), &content[..length]));
        rest = &content[length..];
    }
    found
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}
