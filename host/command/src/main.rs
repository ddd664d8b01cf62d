//! The `lockkeeper` command.

/// A check allocates and frees millions of small things a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lockkeeper_command::main()
}
