//! A network's DHCP and DNS: sockets made in its namespace, served from outside it.
//!
//! Everything served reads the same wish, which a new one replaces whole; so a port is known from one packet to the next,
//! and so is its absence. What one network may have in flight is bounded: a guest that floods its resolver slows itself.

use super::names::LAN;
use super::shape::Shape;
use super::{dhcp, namespace, resolver};
use crate::error::{Error, Result};
use crate::fabric::NetworkWish;
use parking_lot::RwLock;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const QUERIES_IN_FLIGHT: usize = 128;
const CONNECTIONS: usize = 32;
const CONNECTION_LASTS: Duration = Duration::from_secs(10);
/// A socket that fails at once, again and again, must not spin.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

type SharedWish = Arc<RwLock<Arc<NetworkWish>>>;

/// Dropped, it stops answering.
#[derive(Debug)]
pub(super) struct Service {
    wish: SharedWish,
    tasks: JoinSet<()>,
}

struct Sockets {
    dhcp: std::net::UdpSocket,
    queries: Vec<std::net::UdpSocket>,
    connections: Vec<std::net::TcpListener>,
}

impl Service {
    /// Must be called within the runtime that shall serve.
    pub fn start(namespace: &str, shape: &Shape, wish: Arc<NetworkWish>) -> Result<Self> {
        let addresses = shape.service_addresses();
        let unusable = |error| Error::unavailable("the network's DHCP or DNS", Box::<io::Error>::new(error));
        let sockets = namespace::inside(namespace, || Sockets::open(&addresses).map_err(unusable))?;
        let wish: SharedWish = Arc::new(RwLock::new(wish));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_dhcp(UdpSocket::from_std(sockets.dhcp).map_err(unusable)?, wish.clone()));
        for socket in sockets.queries {
            let socket = UdpSocket::from_std(socket).map_err(unusable)?;
            tasks.spawn(serve_queries(Arc::new(socket), wish.clone()));
        }
        for listener in sockets.connections {
            tasks.spawn(serve_connections(TcpListener::from_std(listener).map_err(unusable)?));
        }
        Ok(Self { wish, tasks })
    }

    /// From the next packet on, answers follow this wish.
    pub fn follow(&self, wish: Arc<NetworkWish>) {
        *self.wish.write() = wish;
    }

    /// Ends when every socket is closed; until then the namespace would outlive its name.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Sockets {
    fn open(addresses: &[Ipv4Addr]) -> io::Result<Self> {
        let dhcp = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67))?;
        namespace::bind_to_device(&dhcp, LAN)?;
        namespace::send_without_checksum(&dhcp)?;
        dhcp.set_broadcast(true)?;
        dhcp.set_nonblocking(true)?;
        let (mut queries, mut connections) = (vec![], vec![]);
        for address in addresses {
            let socket = std::net::UdpSocket::bind((*address, 53))?;
            socket.set_nonblocking(true)?;
            queries.push(socket);
            let listener = std::net::TcpListener::bind((*address, 53))?;
            listener.set_nonblocking(true)?;
            connections.push(listener);
        }
        Ok(Self { dhcp, queries, connections })
    }
}

async fn serve_dhcp(socket: UdpSocket, wish: SharedWish) {
    let mut packet = vec![0; 2048];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut packet).await else {
            sleep(AFTER_A_FAILURE).await;
            continue;
        };
        let network = wish.read().clone();
        if let Some(answer) = dhcp::answer(&packet[..length], &network)
            && let Err(error) = socket.send_to(&answer.packet, answer.to).await
        {
            tracing::warn!(network = %network.id, %error, "a DHCP answer was not sent");
        }
    }
}

async fn serve_queries(socket: Arc<UdpSocket>, wish: SharedWish) {
    let mut query = vec![0; 4096];
    let mut in_flight = JoinSet::new();
    loop {
        while in_flight.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut query).await else {
            sleep(AFTER_A_FAILURE).await;
            continue;
        };
        while in_flight.try_join_next().is_some() {}
        if in_flight.len() < QUERIES_IN_FLIGHT {
            in_flight.spawn(answer_query(socket.clone(), query[..length].to_vec(), from, wish.read().clone()));
        }
    }
}

async fn answer_query(socket: Arc<UdpSocket>, query: Vec<u8>, from: SocketAddr, network: Arc<NetworkWish>) {
    if let Some(reply) = resolver::answer(&query, &network).await {
        let _ = socket.send_to(&reply, from).await; // who asked may be gone
    }
}

/// Answers too long for UDP are asked again over TCP; such a connection is only joined to a resolver's.
async fn serve_connections(listener: TcpListener) {
    let mut open = JoinSet::new();
    loop {
        while open.len() >= CONNECTIONS {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((guest, _)) => {
                open.spawn(async move {
                    let _ = timeout(CONNECTION_LASTS, relay(guest)).await;
                });
            }
            Err(_) => sleep(AFTER_A_FAILURE).await,
        }
    }
}

async fn relay(mut guest: TcpStream) {
    for resolver in resolver::of_host().await {
        if let Ok(mut connection) = TcpStream::connect(resolver).await {
            let _ = tokio::io::copy_bidirectional(&mut guest, &mut connection).await;
            return;
        }
    }
}
