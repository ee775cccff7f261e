//! Small programs made by the system's C compiler, and what binutils makes of them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Functions that are inlined, kept, static and exported.
const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>

static inline __attribute__((always_inline)) unsigned mix(unsigned n) {
    n ^= n << 13;
    n ^= n >> 17;
    return n ^ (n << 5);
}

static inline __attribute__((always_inline)) unsigned twice(unsigned n) {
    unsigned once = mix(n);
    return mix(once + 1);
}

static __attribute__((noinline)) unsigned kept(unsigned n) {
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++) {
        sum += twice(i) * 3;
    }
    return sum;
}

__attribute__((noinline)) void *exported(unsigned n) {
    char *p = malloc(n + kept(n));
    if (p) {
        p[0] = (char)mix(n);
    }
    return p;
}

int main(int argc, char **argv) {
    void *p = exported((unsigned)argc * 100);
    printf("%p %s\n", p, argv[0]);
    free(p);
    return 0;
}
"#;

/// Runs a tool that comes with the C compiler.
pub(super) fn run(tool: &str, args: &[&str], dir: &Path) {
    let output = Command::new(tool).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|e| panic!("{tool}, which comes with the C compiler: {e}"));
    assert!(output.status.success(), "{tool} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles the source above to `dir/name`, always with a build id.
pub(super) fn program(dir: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let source = format!("{name}.c");
    std::fs::write(dir.join(&source), SOURCE).unwrap();
    let mut args = flags.to_vec();
    args.extend(["-Wl,--build-id", "-o", name, &source]);
    run("cc", &args, dir);
    dir.join(name)
}
