//! The socket file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use zipnet_proto::Client;
use zipnetd::config::Socket;
use zipnetd::control::{Control, Limits, SocketError};

use super::fake::{Fake, Served, Shared, my_uid, operator};

const GRACE: Duration = Duration::from_secs(5);

async fn serve(socket: &Socket) -> Result<Control, SocketError> {
    let (operator, _wish) = operator();
    Control::serve(socket, my_uid(), Arc::new(Shared(Arc::default())), operator, Limits::default()).await
}

#[tokio::test]
async fn it_has_its_mode_and_is_gone_afterwards() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let path = served.path();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
    assert_eq!(fs::read_dir(served.dir.path()).unwrap().count(), 1, "nothing else is left there");
    served.client().await.status().await.unwrap();
    served.control.stop(GRACE).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_file_is_replaced_and_a_live_daemon_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = Socket { path: dir.path().join("c.sock"), own_folder: false };
    drop(UnixListener::bind(&socket.path).unwrap());
    assert!(socket.path.exists(), "a listener that is dropped leaves its file");
    let first = serve(&socket).await.unwrap();
    let second = serve(&socket).await.err().unwrap();
    assert!(matches!(&second, SocketError::InUse { path } if *path == socket.path), "{second}");
    Client::connect(&socket.path).await.unwrap().status().await.unwrap();
    first.stop(GRACE).await;
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let socket = Socket { path: dir.path().join("c.sock"), own_folder: false };
    fs::write(&socket.path, "precious").unwrap();
    let error = serve(&socket).await.err().unwrap();
    assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&socket.path).unwrap(), "precious");
}

#[tokio::test]
async fn a_successors_file_is_not_removed() {
    let served = Served::new(Fake::default(), Limits::default()).await;
    let path = served.path();
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    served.control.stop(GRACE).await;
    assert!(path.exists());
}

#[tokio::test]
async fn folders_are_made_and_an_unsafe_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let own = Socket { path: dir.path().join("own/dev.sock"), own_folder: true };
    serve(&own).await.unwrap().stop(GRACE).await;
    let folder = own.path.parent().unwrap();
    assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(serve(&own).await.err().unwrap(), SocketError::Folder(_)));

    let system = Socket { path: dir.path().join("run/zipnetd.sock"), own_folder: false };
    serve(&system).await.unwrap().stop(GRACE).await;
    assert_eq!(fs::metadata(system.path.parent().unwrap()).unwrap().mode() & 0o777, 0o755);
    let deep = Socket { path: dir.path().join("a/b/c.sock"), own_folder: false };
    assert!(matches!(serve(&deep).await.err().unwrap(), SocketError::Io { .. }));
}
