//! Builds the programs of `tests/guest` with mingw-w64, once for each state of their sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::cache;

const CC: &str = "x86_64-w64-mingw32-gcc";
const CXX: &str = "x86_64-w64-mingw32-g++";
const DLLTOOL: &str = "x86_64-w64-mingw32-dlltool";

/// The folder of the sources.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guest")
}

/// Builds a program from `NAME.c` or `NAME.cpp` and says where it is.
pub fn build(name: &str) -> PathBuf {
    let cpp = sources().join(format!("{name}.cpp"));
    if cpp.exists() {
        return compile(&cpp, &format!("{name}.exe"), |command| {
            command.arg("-static");
        });
    }
    compile(&sources().join(format!("{name}.c")), &format!("{name}.exe"), |command| {
        command.args(["-lsynchronization", "-lmswsock", "-lws2_32", "-lntdll"]);
    })
}

/// Builds a DLL from `NAME.c`.
pub fn build_dll(name: &str) -> PathBuf {
    compile(&sources().join(format!("{name}.c")), &format!("{name}.dll"), |command| {
        command.args(["-shared", "-static-libgcc"]);
    })
}

/// Builds a program that imports what `NAME.def` promises.
pub fn build_with_imports(name: &str) -> PathBuf {
    let library = unique(&format!("lib{name}.a"));
    let mut command = Command::new(DLLTOOL);
    command.arg("-d").arg(sources().join(format!("{name}.def"))).arg("-l").arg(&library);
    run(command);
    let program =
        compile(&sources().join(format!("{name}.c")), &format!("{name}.exe"), |command| {
            command.arg(&library);
        });
    let _ = fs::remove_file(&library);
    program
}

fn folder() -> PathBuf {
    let folder = cache().join("guest");
    fs::create_dir_all(&folder).expect("make the folder of guest programs");
    folder
}

/// A name no other test process uses.
fn unique(name: &str) -> PathBuf {
    let thread = std::thread::current().id();
    folder().join(format!("{}-{thread:?}-{name}", std::process::id()).replace(['(', ')'], ""))
}

fn compile(source: &Path, output: &str, adjust: impl FnOnce(&mut Command)) -> PathBuf {
    let output = folder().join(output);
    let shared = ["guest.h", "sockets.h"].map(|name| time(&sources().join(name)));
    let newest = shared.into_iter().chain([time(source)]).max();
    if output.exists() && Some(time(&output)) > newest {
        return output;
    }
    // Tests run side by side: build under a name of our own, then rename.
    let temporary = unique("building.exe");
    let compiler = if source.extension().is_some_and(|end| end == "cpp") { CXX } else { CC };
    let mut command = Command::new(compiler);
    command.args(["-O2", "-o"]).arg(&temporary).arg(source);
    adjust(&mut command);
    run(command);
    fs::rename(&temporary, &output).expect("rename a guest program");
    output
}

fn time(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|data| data.modified())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install gcc-mingw-w64-x86-64 and g++-mingw-w64-x86-64")
    });
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
}
