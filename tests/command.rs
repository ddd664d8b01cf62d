//! The `lockkeeper` command, as it is.

fn main() -> std::process::ExitCode {
    lockkeeper_command::main()
}
