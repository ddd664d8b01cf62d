//! Where credentials come from, each source against a server that stands for the service.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn aws() -> Scheme {
    Scheme::AwsSigV4 { region: Some("eu-west-1".to_owned()), service: None, profile: None }
}

/// Something to send requests to that shows which key signed them.
async fn store() -> Server {
    Server::start(|_| Answer::ok("")).await
}

fn keys(store: &Server) -> Vec<String> {
    let key = |request: &String| {
        let (_, rest) = request.split_once("Credential=")?;
        Some(rest.split_once('/')?.0.to_owned())
    };
    store.seen().iter().map(|request| key(request).unwrap()).collect()
}

/// A time from now, as AWS writes it.
fn expiry(seconds: u64) -> String {
    (reqsign_core::time::Timestamp::now() + std::time::Duration::from_secs(seconds)).format_rfc3339_zulu()
}

#[tokio::test]
async fn a_profile_is_read_from_the_shared_files_and_preferred_if_it_is_named() {
    let store = store().await;
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(
        home.path().join(".aws/credentials"),
        "[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = one\n\
         [work]\naws_access_key_id = WORK\naws_secret_access_key = two\naws_session_token = three\n",
    )
    .unwrap();
    let environment = [("AWS_ACCESS_KEY_ID", "ENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "four")];
    let named = || Scheme::AwsSigV4 {
        region: Some("eu-west-1".to_owned()),
        service: None,
        profile: Some("work".to_owned()),
    };
    for (scheme, variables) in [
        (aws(), &[][..]),
        (aws(), &[("AWS_PROFILE", "work")][..]),
        (aws(), &environment[..]),
        (named(), &environment[..]),
    ] {
        let set = Set { home: Some(home.path().to_owned()), ..Set::with(variables) };
        let mut world = World::new(&[&store.origin], &[(&store.origin, scheme)], set);
        world.get(&store.origin).await.unwrap();
    }
    assert_eq!(keys(&store), ["DEFAULT", "WORK", "ENVIRONMENT", "WORK"]);
}

#[tokio::test]
async fn a_web_identity_is_exchanged_once_and_again_shortly_before_it_expires() {
    let (store, calls) = (store().await, Arc::new(AtomicUsize::new(0)));
    // The first credentials expire within a minute, the second ones in an hour.
    let sts = Server::start(move |_| {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        let expiration = expiry(if call == 0 { 60 } else { 3600 });
        Answer::ok(&format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>STS{call}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session{call}</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        ))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "the-identity\n").unwrap();
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pusher"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &sts.origin),
    ];
    let mut world = World::new(&[&store.origin], &[(&store.origin, aws())], Set::with(&variables));
    for _ in 0..4 {
        world.get(&store.origin).await.unwrap();
    }
    assert_eq!(keys(&store), ["STS0", "STS1", "STS1", "STS1"]);
    assert!(store.seen()[1].contains("x-amz-security-token: session1"));
    let asked = sts.seen();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[0].contains("WebIdentityToken=the-identity&") && asked[0].contains("role%2Fpusher"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_web_identity_that_expired_is_an_error_and_nothing_else_is_tried_in_its_place() {
    let store = store().await;
    let sts = Server::start(|_| {
        let body = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>Token expired</Message></Error></ErrorResponse>";
        Answer::with("400 Bad Request", "", body)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "the-identity").unwrap();
    let variables = [
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pusher"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", &sts.origin),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &store.origin),
    ];
    let mut world = World::new(&[&store.origin], &[(&store.origin, aws())], Set::with(&variables));
    assert!(matches!(world.get(&store.origin).await, Err(Error::ConfigurationError)));
    let trouble = world.trouble().to_string();
    assert!(trouble.contains("ExpiredToken") && trouble.contains("AWS_WEB_IDENTITY_TOKEN_FILE"), "{trouble}");
    assert!(!trouble.contains("the-identity"), "{trouble}");
    assert!(store.seen().is_empty());
}

#[tokio::test]
async fn an_instances_metadata_gives_credentials_to_who_shows_a_session() {
    let store = store().await;
    let metadata = Server::start(|request| {
        let session = request.contains("x-aws-ec2-metadata-token: the-session\r\n");
        match request.split(' ').nth(1).unwrap() {
            "/latest/api/token" if request.starts_with("PUT ") => Answer::ok("the-session"),
            "/latest/meta-data/iam/security-credentials/" if session => Answer::ok("the-role"),
            "/latest/meta-data/iam/security-credentials/the-role" if session => Answer::ok(&format!(
                r#"{{"Code":"Success","AccessKeyId":"IMDS","SecretAccessKey":"s","Token":"t","Expiration":"{}"}}"#,
                expiry(3600)
            )),
            _ => Answer::with("401 Unauthorized", "", ""),
        }
    })
    .await;
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.origin.as_str())];
    let mut world = World::new(&[&store.origin], &[(&store.origin, aws())], Set::with(&variables));
    for _ in 0..3 {
        world.get(&store.origin).await.unwrap();
    }
    assert_eq!((keys(&store), metadata.seen().len()), (vec!["IMDS".to_owned(); 3], 3));
}

#[tokio::test]
async fn where_no_metadata_answers_the_error_lists_all_that_was_looked_at() {
    let store = store().await;
    // Nobody listens there.
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")];
    let mut world = World::new(&[&store.origin], &[(&store.origin, aws())], Set::with(&variables));
    assert!(matches!(world.get(&store.origin).await, Err(Error::ConfigurationError)));
    let trouble = world.trouble().to_string();
    for part in [
        "AWS_ACCESS_KEY_ID is not set",
        "profile `default`",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "http://127.0.0.1:1",
        "Connection refused",
    ] {
        assert!(trouble.contains(part), "no {part} in: {trouble}");
    }
}

#[tokio::test]
async fn requests_that_wait_for_the_same_credentials_fail_together() {
    let store = store().await;
    let metadata = Server::start(|_| Answer::with("500 Internal Server Error", "", "")).await;
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.origin.as_str())];
    let mut world = World::new(&[&store.origin], &[(&store.origin, aws())], Set::with(&variables));
    for _ in 0..20 {
        assert!(world.get(&store.origin).await.is_err());
    }
    assert!(metadata.seen().len() < 5, "{:?}", metadata.seen());
}

/// A service account's file, with a key made for this test.
fn service_account(token_uri: &str) -> String {
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    serde_json::json!({
        "type": "service_account",
        "client_email": "pusher@project.iam.gserviceaccount.com",
        "private_key": String::from_utf8(made.stdout).unwrap(),
        "token_uri": token_uri,
    })
    .to_string()
}

#[tokio::test]
async fn a_google_service_account_is_exchanged_for_one_token_for_all_requests() {
    let store = store().await;
    let tokens = Server::start(|_| {
        Answer::ok(r#"{"access_token":"google-token","expires_in":3600,"token_type":"Bearer"}"#)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("account.json");
    std::fs::write(&file, service_account(&format!("{}/token", tokens.origin))).unwrap();
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())];
    let mut world = World::new(&[&store.origin], &[(&store.origin, Scheme::Google)], Set::with(&variables));
    for _ in 0..3 {
        world.get(&store.origin).await.unwrap();
    }
    let seen = store.seen();
    assert!(
        seen.len() == 3
            && seen.iter().all(|request| request.contains("authorization: Bearer google-token\r\n")),
        "{seen:?}"
    );
    let exchange = tokens.only();
    assert!(exchange.starts_with("POST /token ") && exchange.contains("assertion="), "{exchange}");
}

#[tokio::test]
async fn the_file_that_gcloud_writes_is_found_and_a_login_that_expired_is_said_to_have() {
    let store = store().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&folder).unwrap();
    for (status, body, expired) in [
        ("200 OK", r#"{"access_token":"user-token","expires_in":3600}"#, false),
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
            true,
        ),
    ] {
        let tokens = Server::start(move |_| Answer::with(status, "", body)).await;
        let user = serde_json::json!({
            "type": "authorized_user",
            "client_id": "id",
            "client_secret": "client-secret",
            "refresh_token": "refresh-secret",
            "token_uri": tokens.origin,
        });
        std::fs::write(folder.join("application_default_credentials.json"), user.to_string()).unwrap();
        let set = Set { home: Some(home.path().to_owned()), ..Set::default() };
        let mut world = World::new(&[&store.origin], &[(&store.origin, Scheme::Google)], set);
        let answer = world.get(&store.origin).await;
        if expired {
            assert!(matches!(answer, Err(Error::ConfigurationError)));
            let trouble = world.trouble();
            assert!(trouble.to_string().contains("expired or revoked"), "{trouble}");
            assert!(trouble.to_string().contains("application_default_credentials.json"), "{trouble}");
            assert!(trouble.remedy().contains("gcloud auth application-default login"));
            assert!(!trouble.to_string().contains("-secret"), "{trouble}");
        } else {
            assert!(store.only().contains("authorization: Bearer user-token\r\n"));
        }
    }
}

#[tokio::test]
async fn a_google_machines_metadata_gives_a_token_where_there_is_no_file() {
    let store = store().await;
    let metadata = Server::start(|request| {
        assert!(request.contains("metadata-flavor: Google\r\n"), "{request}");
        Answer::ok(r#"{"access_token":"machine-token","expires_in":3600}"#)
    })
    .await;
    let host = format!("127.0.0.1:{}", metadata.port);
    let mut world = World::new(
        &[&store.origin],
        &[(&store.origin, Scheme::Google)],
        Set::with(&[("GCE_METADATA_HOST", &host)]),
    );
    world.get(&store.origin).await.unwrap();
    assert!(store.only().contains("authorization: Bearer machine-token\r\n"));
    assert!(metadata.only().starts_with("GET /computeMetadata/v1/instance/service-accounts/default/token?"));
}
