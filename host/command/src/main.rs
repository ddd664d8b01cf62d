//! The `lockkeeper` command.

#[global_allocator]
static ALLOCATOR: lockkeeper_command::Allocator = lockkeeper_command::Allocator;

fn main() -> std::process::ExitCode {
    lockkeeper_command::main()
}
