//! The `lockkeeper` command.

fn main() -> std::process::ExitCode {
    lockkeeper_command::main()
}
