#![allow(missing_docs, clippy::all)]
use lockkeeper_check::*;
fn main() {
    let mut args = std::env::args().skip(1);
    let bytes = std::fs::read(args.next().unwrap()).unwrap();
    let mut settings = Settings::folder();
    for pair in args {
        let (k, v) = pair.split_once('=').unwrap();
        settings = settings.with(k, v);
    }
    let home = std::env::temp_dir().join("check-compiled");
    let subject = Subject::load(&bytes, settings, Some(&home)).unwrap();
    let mut options = Options::default();
    if let Ok(p) = std::env::var("P") {
        options.preemptions = p.parse().unwrap();
    }
    if let Ok(p) = std::env::var("SEED") {
        options.seed = p.parse().unwrap();
    }
    let mut check = Check::new(&subject, options);
    if let Ok(s) = std::env::var("SUITE") {
        check = check.only(&[s.parse().unwrap()]);
    }
    let verdict = check.run();
    for s in &verdict.suites {
        println!("{:?}", s);
    }
    for f in &verdict.findings {
        println!(
            "FOUND {:?} {} preemptions {} {:?}",
            f.violation,
            f.preemptions,
            f.replay.as_ref().map(|r| r.to_string()).unwrap_or_default(),
            f.guests
        );
        if std::env::var("ROWS").is_ok() {
            for r in &f.rows {
                println!(
                    "{:4} {} {}{} {} {} {:?} {}",
                    r.step,
                    r.guest.unwrap_or(' '),
                    if r.relevant { "*" } else { " " },
                    if r.writes { "w" } else { " " },
                    r.call,
                    r.path,
                    r.other,
                    r.result
                );
            }
        }
        if let Some(r) = &f.replay {
            println!(
                "replay: {:?}",
                check.replay(&r.to_string().parse().unwrap()).map(|f| f.map(|f| f.violation.text))
            );
        }
    }
}
