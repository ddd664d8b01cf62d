#![allow(missing_docs, clippy::all)]
use lockkeeper_check::*;
use lockkeeper_names::*;
fn main() {
    let mut args = std::env::args().skip(1);
    let bytes = std::fs::read(args.next().unwrap()).unwrap();
    let mut settings = Settings::folder();
    for pair in args {
        let (k, v) = pair.split_once('=').unwrap();
        settings = settings.with(k, v);
    }
    let t = std::time::Instant::now();
    let subject = Subject::load(&bytes, settings, None).unwrap();
    println!("load {:?} {:?}", t.elapsed(), subject.declared());
    let root = Root::parse("data").unwrap();
    let scope =
        |m: &str| Some(Scope::new(&root, &ModelId::parse(m).unwrap())).filter(|_| subject.scoped_sync());
    let (sa, sb) = (scope("t/web"), scope("t/web-2"));
    let path = |t: &str| CachePath::parse(t).unwrap();
    let mut world = World::new(&subject, 1);
    let mut a = Repository::new();
    a.write(&path("data/t/web/x"), "one");
    a.write(&path("data/t/web/s/y"), "two");
    let mut b = Repository::new();
    b.write(&path("data/t/web-2/x"), "three");
    let t = std::time::Instant::now();
    let mut w = world.clone();
    let r = run(
        &subject,
        &mut w,
        vec![Actor::push(a.clone(), sa.as_ref()), Actor::push(b.clone(), sb.as_ref())],
        &Schedule::default(),
    );
    println!("{:?} {} events", t.elapsed(), r.events.len());
    for e in &r.events {
        println!(
            "{} {} {} {:?} {} {:?}",
            letter(e.guest),
            e.operation.call,
            e.operation.path,
            e.operation.other,
            e.operation.detail,
            e.operation.performed
        );
    }
    for e in &r.ends {
        println!("{:?} {}", e.result, e.instructions);
    }
    let mut fresh = Repository::new();
    println!("{:?}", w.pull(&subject, &mut fresh, None).map(|e| e.result));
    println!("{:?}", fresh.files().keys().collect::<Vec<_>>());
    let t = std::time::Instant::now();
    let n = std::env::var("N").map_or(1000, |n| n.parse().unwrap());
    for _ in 0..n {
        let mut w = world.clone();
        run(
            &subject,
            &mut w,
            vec![Actor::push(a.clone(), sa.as_ref()), Actor::push(b.clone(), sb.as_ref())],
            &Schedule::default(),
        );
    }
    println!("{:?} per schedule", t.elapsed() / n);
    let _ = &mut world;
}
