//! A server in the middle, between a function and the database: it says that there is no TLS, or has a certificate that
//! it should not have, and asks for the password.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use postgres::{Address, Connection, Database, DatabaseError};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tests::stack::variable;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_postgres::config::Host;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

/// The name that the function knows the database by.
const NAME: &str = "db.example.com";
const PASSWORD: &str = "hush-hush";
/// The client's first message when it wants TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
/// The server's message that asks for the password in the clear.
const ASK_FOR_PASSWORD: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
const MODES: [&str; 7] = ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A server in the middle.
struct Server {
    address: SocketAddr,
    /// The bytes that it got without TLS, after the client's first message.
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    /// Starts it: with TLS, it passes connections on to the real server; without, it asks for the password.
    async fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let shared = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, heard }
    }

    /// The address of a database whose name leads here.
    fn url(&self, login: &str, parameters: &str) -> String {
        format!("postgres://{login}@{NAME}:{}/?hostaddr=127.0.0.1{parameters}", self.address.port())
    }

    fn heard_the_password(&self) -> bool {
        let heard = self.heard.lock().unwrap();
        heard.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes())
    }
}

async fn serve(mut stream: TcpStream, tls: Option<TlsAcceptor>, heard: Arc<Mutex<Vec<u8>>>) {
    let mut first = [0; 8];
    stream.read_exact(&mut first).await.unwrap();
    if first == SSL_REQUEST {
        if let Some(tls) = tls {
            stream.write_all(b"S").await.unwrap();
            // A client that refuses the certificate ends the handshake.
            let Ok(mut inner) = tls.accept(stream).await else { return };
            let config = real();
            let [Host::Tcp(host)] = config.get_hosts() else { panic!("the stack's database has one host") };
            let mut real = TcpStream::connect((host.as_str(), config.get_ports()[0])).await.unwrap();
            let _ = copy_bidirectional(&mut inner, &mut real).await;
            return;
        }
        stream.write_all(b"N").await.unwrap();
    } else {
        let length = u32::from_be_bytes(first[..4].try_into().unwrap());
        let mut rest = vec![0; length as usize - first.len()];
        stream.read_exact(&mut rest).await.unwrap();
    }
    let _ = stream.write_all(&ASK_FOR_PASSWORD).await;
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        heard.lock().unwrap().extend(&buffer[..read]);
    }
}

fn real() -> tokio_postgres::Config {
    variable("DATABASE_URL").parse().unwrap()
}

async fn connect(url: &str) -> Result<Connection, DatabaseError> {
    Database::new(url.parse::<Address>().unwrap(), "tests").connect().await
}

/// An authority, and the file of its certificate.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("{}.pem", Uuid::new_v4()));
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A server's side of TLS, with a certificate of this authority that is valid until a year.
    fn certify(&self, name: &str, until: i32) -> ServerConfig {
        platform::tls::install_crypto();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        config.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

#[tokio::test]
async fn a_server_that_says_no_to_tls_gets_no_password() {
    let server = Server::start(None).await;
    let authority = Authority::new();
    for mode in MODES {
        let parameter = if mode.is_empty() { String::new() } else { format!("&sslmode={mode}") };
        let url =
            server.url(&format!("user:{PASSWORD}"), &format!("{parameter}&sslrootcert={}", authority.file.display()));
        let error = connect(&url).await.unwrap_err();
        let shown = platform::log::Causes(&error).to_string();
        let expected = if mode == "disable" { "password in the clear" } else { "TLS" };
        assert!(shown.contains(expected), "{mode}: {shown}");
        assert!(!server.heard_the_password() && !shown.contains(PASSWORD), "{mode}");
    }
    // The server can hear it: on this machine no TLS is needed.
    let url = format!("postgres://user:{PASSWORD}@127.0.0.1:{}/", server.address.port());
    let listening = tokio::time::timeout(std::time::Duration::from_secs(1), connect(&url));
    assert!(listening.await.is_err(), "the server says nothing more");
    assert!(server.heard_the_password());
}

#[tokio::test]
async fn a_certificate_must_be_the_right_one() {
    let real = real();
    let login = format!("{}:{}", real.get_user().unwrap(), std::str::from_utf8(real.get_password().unwrap()).unwrap());
    let authority = Authority::new();
    let other = Authority::new();
    for (what, tls, refused_by) in [
        ("the right one", authority.certify(NAME, 2100), [].as_slice()),
        (
            "of another name",
            authority.certify("db.example.org", 2100),
            &["", "allow", "prefer", "require", "verify-full"],
        ),
        ("of another authority", other.certify(NAME, 2100), &MODES),
        ("of last year", authority.certify(NAME, 2025), &MODES),
    ] {
        let server = Server::start(Some(tls)).await;
        for mode in MODES.into_iter().filter(|mode| *mode != "disable") {
            let parameter = if mode.is_empty() { String::new() } else { format!("&sslmode={mode}") };
            let url = server.url(&login, &format!("{parameter}&sslrootcert={}", authority.file.display()));
            let connected = connect(&url).await;
            assert_eq!(connected.is_err(), refused_by.contains(&mode), "{what}, {mode}: {connected:?}");
        }
        // Nobody's certificate is the system's.
        let url = server.url(&login, "");
        connect(&url).await.unwrap_err();
        assert!(server.heard.lock().unwrap().is_empty(), "{what}: everything was encrypted");
    }
}
