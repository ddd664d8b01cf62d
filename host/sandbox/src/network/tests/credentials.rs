//! Credentials: they go to the origin that they are for, and come from where they should.

use super::*;
use crate::secret::SecretSource;

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "aws-secret"),
    ("AWS_SESSION_TOKEN", "aws-session"),
];

fn aws() -> Scheme {
    Scheme::AwsSigV4 { region: Some("eu-west-1".to_owned()), service: None, profile: None }
}

fn header(request: &str, name: &str) -> Option<String> {
    let lines: Vec<_> = request.lines().filter_map(|line| line.strip_prefix(&format!("{name}: "))).collect();
    assert!(lines.len() <= 1, "{request}");
    lines.first().map(|&value| value.to_owned())
}

fn forged(uri: &str) -> http::request::Builder {
    http::Request::put(uri)
        .header("authorization", "Forged")
        .header("x-amz-security-token", "forged")
        .header("x-amz-date", "forged")
        .header("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .header("cookie", "forged")
        .header("x-amz-meta-mine", "mine")
        .header("content-length", "4")
}

#[tokio::test]
async fn a_request_to_a_bound_origin_is_signed_and_nothing_of_the_guests_own_credentials_remains() {
    let server = Server::start(|_| Answer::ok("")).await;
    let mut world = World::new(&[&server.origin], &[(&server.origin, aws())], Set::with(&KEYS));
    let request = forged(&format!("{}/bucket/key%20x?list-type=2&prefix=a%2Fb", server.origin));
    world.send(request, "body", RequestOptions::default()).await.unwrap();
    let request = server.only();
    let authorization = header(&request, "authorization").unwrap();
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDTEST/"), "{request}");
    let signed = "/eu-west-1/s3/aws4_request, \
                  SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-mine;x-amz-security-token, Signature=";
    assert!(authorization.contains(signed), "{request}");
    assert_eq!(header(&request, "x-amz-security-token").unwrap(), "aws-session");
    assert_eq!(header(&request, "x-amz-content-sha256").unwrap(), "UNSIGNED-PAYLOAD");
    assert_eq!(header(&request, "x-amz-meta-mine").unwrap(), "mine");
    assert!(request.ends_with("\r\n\r\nbody"), "{request}");
    assert!(!request.to_lowercase().contains("forged") && !request.contains("aws-secret"), "{request}");
}

#[tokio::test]
async fn the_hash_that_a_guest_gives_of_its_body_is_signed_as_it_is() {
    let server = Server::start(|_| Answer::ok("")).await;
    let mut world = World::new(&[&server.origin], &[(&server.origin, aws())], Set::with(&KEYS));
    let hash = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
    let request = http::Request::put(&server.origin).header("x-amz-content-sha256", hash);
    world.send(request.header("content-length", "4"), "body", RequestOptions::default()).await.unwrap();
    assert_eq!(header(&server.only(), "x-amz-content-sha256").unwrap(), hash);
}

#[tokio::test]
async fn a_request_to_another_granted_origin_carries_no_credential() {
    let bound = Server::start(|_| Answer::ok("")).await;
    let other = Server::start(|_| Answer::ok("")).await;
    let mut world = World::new(&[&bound.origin, &other.origin], &[(&bound.origin, aws())], Set::with(&KEYS));
    world.get(&bound.origin).await.unwrap();
    world.get(&other.origin).await.unwrap();
    let request = other.only();
    assert!(
        !request.contains("authorization") && !request.contains("aws-") && !request.contains("AKIDTEST"),
        "{request}"
    );
}

#[tokio::test]
async fn a_bearer_token_and_a_password_are_read_from_a_variable_or_a_file() {
    let server = Server::start(|_| Answer::ok("")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "from-file\n").unwrap();
    let variable = SecretSource::Variable("TOKEN".to_owned());
    let me = || "me".to_owned();
    for (scheme, expected) in [
        (Scheme::Bearer { token: variable.clone() }, "Bearer from-env"),
        (Scheme::Bearer { token: SecretSource::File(file.clone()) }, "Bearer from-file"),
        (Scheme::Basic { user: me(), password: variable.clone() }, "Basic bWU6ZnJvbS1lbnY="),
        (Scheme::Basic { user: me(), password: SecretSource::File(file.clone()) }, "Basic bWU6ZnJvbS1maWxl"),
    ] {
        let mut world =
            World::new(&[&server.origin], &[(&server.origin, scheme)], Set::with(&[("TOKEN", "from-env")]));
        world.send(forged(&server.origin), "body", RequestOptions::default()).await.unwrap();
        assert_eq!(header(server.seen().last().unwrap(), "authorization").unwrap(), expected);
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent_and_it_is_said_what_to_do() {
    let server = Server::start(|_| Answer::ok("")).await;
    let bearer = Scheme::Bearer { token: SecretSource::Variable("TOKEN".to_owned()) };
    let off = ("AWS_EC2_METADATA_DISABLED", "true");
    for (scheme, variables, problem, remedy) in [
        (
            bearer,
            vec![],
            "environment variable TOKEN is not set",
            "put the secret into environment variable TOKEN",
        ),
        (aws(), vec![off], "AWS_ACCESS_KEY_ID is not set; profile `default`", "AWS_SECRET_ACCESS_KEY"),
        (
            aws(),
            vec![off, KEYS[0]],
            "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not",
            "log in again",
        ),
        (aws(), vec![off, ("AWS_PROFILE", "work")], "profile `work` has no keys", "log in again"),
        (
            Scheme::AwsSigV4 { region: None, service: None, profile: None },
            KEYS.to_vec(),
            "neither its name nor AWS_REGION tells its region",
            "region = ",
        ),
    ] {
        let mut world = World::new(&[&server.origin], &[(&server.origin, scheme)], Set::with(&variables));
        assert!(matches!(world.get(&server.origin).await, Err(Error::ConfigurationError)), "{problem}");
        let trouble = world.trouble();
        assert!(
            trouble.to_string().contains(problem) && trouble.to_string().contains(&server.origin),
            "{trouble}"
        );
        assert!(trouble.remedy().contains(remedy), "{}", trouble.remedy());
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_echoes_credentials_reaches_the_guest_without_them() {
    for (status, body_is_clean) in [("403 Forbidden", true), ("200 OK", false)] {
        let server = Server::start(move |request| {
            let authorization = header(request, "authorization").unwrap();
            Answer::with(
                status,
                &format!("x-echo: you sent {authorization}\r\nx-other: fine\r\n"),
                &authorization,
            )
        })
        .await;
        let scheme =
            Scheme::Basic { user: "me".to_owned(), password: SecretSource::Variable("TOKEN".to_owned()) };
        let environment = Set::with(&[("TOKEN", "from-env")]);
        let mut world = World::new(&[&server.origin], &[(&server.origin, scheme)], environment);
        let answer = world.get(&server.origin).await.unwrap();
        assert!(!answer.headers().contains_key("x-echo"), "{:?}", answer.headers());
        assert_eq!(answer.headers()["x-other"], "fine");
        // What an object holds is never changed.
        assert_eq!(text(answer).await.unwrap() == "*".repeat("Basic bWU6ZnJvbS1lbnY=".len()), body_is_clean);
    }
}

#[tokio::test]
async fn refused_credentials_are_named_by_where_they_came_from() {
    let server =
        Server::start(|_| Answer::with("400 Bad Request", "", "<Error><Code>ExpiredToken</Code></Error>"))
            .await;
    let mut world = World::new(&[&server.origin], &[(&server.origin, aws())], Set::with(&KEYS));
    let answer = world.get(&server.origin).await.unwrap();
    assert_eq!(text(answer).await.unwrap(), "<Error><Code>ExpiredToken</Code></Error>");
    let trouble = world.trouble();
    assert!(trouble.is_verdict());
    assert!(
        trouble.to_string().contains("(ExpiredToken) that came from the environment (AWS_ACCESS_KEY_ID)"),
        "{trouble}"
    );
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_said_to_be_wrong() {
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 60);
    let date = format!("date: {}\r\n", httpdate::fmt_http_date(past));
    let server =
        Server::start(move |_| Answer::with("403 Forbidden", &date, "<Code>RequestTimeTooSkewed</Code>"))
            .await;
    let mut world = World::new(&[&server.origin], &[(&server.origin, aws())], Set::with(&KEYS));
    world.get(&server.origin).await.unwrap();
    let trouble = world.trouble();
    assert!(matches!(trouble, Trouble::Clock { ahead: 2390..2410, .. }), "{trouble:?}");
    assert!(
        trouble.to_string().contains("40 minutes ahead of its own")
            || trouble.to_string().contains("39 minutes"),
        "{trouble}"
    );
}
