//! One connection: the handshake, the login, and requests one after the other.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};

use crate::fault::Fault;
use crate::net::Socket;
use crate::reply::{check, number, text, texts, unreadable};
use crate::scram::{First, Salted};
use crate::url::{Address, Credentials, Target};
use crate::wire::{self, HEADER, Sequence};

/// The wire version of MongoDB 4.4.
const OLDEST: i64 = 9;

/// A connection to a server.
pub struct Connection {
    address: Address,
    socket: Socket,
    requests: i32,
    patience: Duration,
}

/// What a server says about itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// Whether it is the one to write to.
    pub primary: bool,
    /// The name of its replica set.
    pub set: Option<String>,
    /// Whom it takes for the primary.
    pub points_to: Option<Address>,
    /// The members of its replica set.
    pub members: Vec<Address>,
    /// The server's clock, in milliseconds since 1970.
    pub clock: i64,
    /// How the user can log in, if the server says.
    mechanisms: Option<Vec<String>>,
}

impl Connection {
    /// Connects and asks the server what it is.
    pub async fn open(address: &Address, target: &Target) -> Result<(Self, Hello), Fault> {
        let socket = Socket::connect(address, target.tls, target.connect_timeout);
        let socket = socket.await.map_err(|error| Fault::io(address, "connect to", &error))?;
        let mut connection =
            Self { address: address.clone(), socket, requests: 0, patience: target.connect_timeout };
        let mut hello = rawdoc! {
            "hello": 1,
            "helloOk": true,
            "client": {
                "application": { "name": target.app_name.as_str() },
                "driver": { "name": "lockkeeper", "version": env!("CARGO_PKG_VERSION") },
                "os": { "type": "wasm" },
            },
        };
        if let Some(who) = &target.credentials {
            hello.append(cstr!("saslSupportedMechs"), format!("{}.{}", who.source, who.user));
        }
        let answer = connection.request("admin", hello, None).await?;
        connection.patience = target.socket_timeout;
        Ok((connection, Hello::read(&answer)?))
    }

    /// Logs in. `salted` is what an earlier login computed.
    pub async fn login(
        &mut self,
        hello: &Hello,
        who: &Credentials,
        salted: &mut Option<Salted>,
    ) -> Result<(), Fault> {
        if let Some(mechanisms) = &hello.mechanisms
            && !mechanisms.iter().any(|mechanism| mechanism == "SCRAM-SHA-256")
        {
            let offered = mechanisms.join(", ");
            return Err(Fault::Login(format!(
                "the server offers {offered} and not SCRAM-SHA-256 for this user: set its password anew"
            )));
        }
        let problem = |problem: &str| Fault::Login(problem.to_owned());
        let mut random = [0; 24];
        getrandom::fill(&mut random).map_err(|error| Fault::Login(format!("no random numbers: {error}")))?;
        let first = First::new(&who.user, STANDARD.encode(random));

        let payload = first.message();
        let start = rawdoc! {
            "saslStart": 1,
            "mechanism": "SCRAM-SHA-256",
            "payload": bytes(payload.as_bytes()),
            "options": { "skipEmptyExchange": true },
        };
        let answer = self.request(&who.source, start, None).await?;
        let (message, last) = first.answer(who, payload_of(&answer)?, salted).map_err(problem)?;
        let answer = self.resume(who, &answer, message.as_bytes()).await?;
        last.check(payload_of(&answer)?).map_err(problem)?;

        // A server that doesn't skip the empty exchange waits for one.
        let done = |answer: &RawDocument| answer.get_bool("done").map_err(|_| unreadable("done"));
        if !done(&answer)? && !done(&self.resume(who, &answer, &[]).await?)? {
            return Err(problem("the server does not come to an end"));
        }
        Ok(())
    }

    async fn resume(
        &mut self,
        who: &Credentials,
        answer: &RawDocument,
        payload: &[u8],
    ) -> Result<RawDocumentBuf, Fault> {
        let conversation = number(answer, "conversationId").and_then(|id| i32::try_from(id).ok());
        let conversation = conversation.ok_or_else(|| unreadable("conversationId"))?;
        let request =
            rawdoc! { "saslContinue": 1, "conversationId": conversation, "payload": bytes(payload) };
        self.request(&who.source, request, None).await
    }

    /// Sends a request and waits for its answer.
    pub async fn request(
        &mut self,
        database: &str,
        mut command: RawDocumentBuf,
        sequence: Option<&Sequence<'_>>,
    ) -> Result<RawDocumentBuf, Fault> {
        command.append(cstr!("$db"), database);
        self.requests = self.requests.wrapping_add(1);
        let message = wire::encode(self.requests, &command, sequence).map_err(Fault::Protocol)?;
        let lost = |error| Fault::io(&self.address, "talk to", &error);
        self.socket.write_all(&message, self.patience).await.map_err(lost)?;
        drop(message);

        let head = self.read(HEADER).await?;
        let head = head.first_chunk().ok_or_else(|| unreadable("header"))?;
        let head = wire::header(head).map_err(Fault::Protocol)?;
        if head.response_to != self.requests {
            return Err(Fault::Protocol("an answer to another request".to_owned()));
        }
        let answer = wire::document(self.read(head.body).await?).map_err(Fault::Protocol)?;
        check(&answer).map(|()| answer)
    }

    /// Reads so many bytes. Memory grows with what arrives, not with what was promised.
    async fn read(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let missing = length - bytes.len();
            let read = self.socket.read(&mut bytes, missing, self.patience);
            read.await.map_err(|error| Fault::io(&self.address, "talk to", &error))?;
        }
        Ok(bytes)
    }
}

impl Hello {
    fn read(answer: &RawDocument) -> Result<Self, Fault> {
        if number(answer, "maxWireVersion").is_none_or(|version| version < OLDEST) {
            return Err(Fault::Config("the server is older than MongoDB 4.4".to_owned()));
        }
        let mechanisms = answer.get_array("saslSupportedMechs").ok();
        Ok(Self {
            primary: answer.get_bool("isWritablePrimary").unwrap_or_default(),
            set: text(answer, "setName").map(str::to_owned),
            points_to: text(answer, "primary").and_then(Address::parse),
            clock: answer
                .get_datetime("localTime")
                .map(|time| time.timestamp_millis())
                .map_err(|_| unreadable("localTime"))?,
            members: texts(answer, "hosts").into_iter().filter_map(Address::parse).collect(),
            mechanisms: mechanisms
                .map(|_| texts(answer, "saslSupportedMechs").into_iter().map(str::to_owned).collect()),
        })
    }
}

/// Bytes as a value.
pub fn bytes(bytes: &[u8]) -> RawBsonRef<'_> {
    RawBsonRef::Binary(RawBinaryRef { subtype: BinarySubtype::Generic, bytes })
}

fn payload_of(answer: &RawDocument) -> Result<&[u8], Fault> {
    answer.get_binary("payload").map(|payload| payload.bytes).map_err(|_| unreadable("payload"))
}
