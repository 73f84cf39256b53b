//! Every call that travels: a line each.
//!
//! A line is the trait's method, its arguments as the method takes them and as they travel, what it answers, and how long
//! it may take before its host counts as away. Out of a list come the message, the type that sends it in place of the host,
//! and the code that carries it out there. To add a method of a trait, add its line; the compiler asks for it. What streams
//! bytes, or isn't a call at all, stands under `besides` and is written out in [`super::remote`] and [`super::server`].
//!
//! A host that is a version older answers a call it doesn't know with `NotImplemented`, which a caller can act on.

use super::remote::Channel;
use super::wire::{Answer, Fault};
use crate::disks::{BaseImage, BlankDisk, CachedBase, ConfigDrive, Copied, DiskSpace, Disks, Incoming};
use crate::disks::{Luggage, Part, RootDisk};
use crate::error::Result;
use crate::fabric::{Fabric, FabricFacts, NetworkWish};
use crate::hypervisor::{
    Arrival, Departure, Diagnostics, Epoch, HostFacts, Hypervisor, Machine, MachineSpec, Offer, Progress, Quiesce,
    Standing, Steer,
};
use crate::ids::{NetworkId, ServerId};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What is answered from what a host knows.
const QUESTION: Duration = Duration::from_secs(30);
/// What changes something on a host.
const ORDER: Duration = Duration::from_secs(120);
/// What moves a machine's memory or disks.
const WORK: Duration = Duration::from_secs(6 * 3600);

/// How an argument that has travelled is handed to a method.
trait Lend<'a, Parameter> {
    fn lend(&'a self) -> Parameter;
}

impl<'a, T: Clone> Lend<'a, T> for T {
    fn lend(&'a self) -> T {
        self.clone()
    }
}

impl<'a, T> Lend<'a, &'a T> for T {
    fn lend(&'a self) -> &'a T {
        self
    }
}

impl<'a> Lend<'a, &'a str> for String {
    fn lend(&'a self) -> &'a str {
        self
    }
}

impl<'a> Lend<'a, &'a Path> for PathBuf {
    fn lend(&'a self) -> &'a Path {
        self
    }
}

/// A trait's calls, as messages.
pub trait Calls: for<'de> Deserialize<'de> + Serialize + Send + Sync + 'static {
    /// The part of the path that says whose they are.
    const PATH: &'static str;
    /// Their names: what an older host doesn't have here, it doesn't know.
    const NAMES: &'static [&'static str];
    /// What carries them out.
    type Host: ?Sized + Send + Sync + 'static;

    /// Carries the call out; its answer as JSON.
    fn carry_out(self, host: Arc<Self::Host>) -> impl Future<Output = Vec<u8>> + Send;
}

/// An answer as it travels.
pub(super) fn written<T: Serialize>(answer: Result<T>) -> Vec<u8> {
    let answer: Answer<T> = answer.map_err(Fault::of);
    serde_json::to_vec(&answer).unwrap_or_else(|error| {
        let fault = Fault::Internal { context: "an answer could not be written".to_owned(), why: error.to_string() };
        serde_json::to_vec(&Answer::<()>::Err(fault)).unwrap_or_default()
    })
}

macro_rules! calls {
    (
        $trait:ident as $message:ident, sent by $remote:ident to $path:literal, besides { $($besides:tt)* };
        $( $method:ident($($argument:ident: $parameter:ty = $travels:ty),*) -> $answer:ty, within $within:expr; )*
    ) => {
        #[derive(Serialize, Deserialize)]
        #[expect(non_camel_case_types, reason = "a call is named like its method")]
        pub enum $message { $( $method { $($argument: $travels),* }, )* }

        impl Calls for $message {
            const PATH: &'static str = $path;
            const NAMES: &'static [&'static str] = &[$( stringify!($method) ),*];
            type Host = dyn $trait;

            async fn carry_out(self, host: Arc<dyn $trait>) -> Vec<u8> {
                match self {
                    $( Self::$method { $($argument),* } => {
                        written(host.$method($( Lend::<$parameter>::lend(&$argument) ),*).await)
                    } )*
                }
            }
        }

        /// Sends its calls to another host.
        pub struct $remote {
            pub(super) channel: Arc<Channel>,
        }

        #[async_trait]
        impl $trait for $remote {
            $( async fn $method(&self, $($argument: $parameter),*) -> Result<$answer> {
                let within: Duration = $within;
                let call = $message::$method { $($argument: $argument.to_owned()),* };
                self.channel.ask(&call, within).await
            } )*
            $($besides)*
        }
    };
}

calls! {
    Hypervisor as HypervisorCall, sent by RemoteHypervisor to "hypervisor", besides {
        fn events(&self) -> Option<watch::Receiver<u64>> {
            Some(self.channel.changes())
        }
    };
    facts() -> HostFacts, within QUESTION;
    uptime() -> Option<String>, within QUESTION;
    list() -> Vec<Machine>, within QUESTION;
    find(id: ServerId = ServerId) -> Option<Machine>, within QUESTION;
    start(spec: &MachineSpec = MachineSpec) -> (), within ORDER;
    define(spec: &MachineSpec = MachineSpec) -> (), within ORDER;
    suspend(id: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within WORK;
    wake(spec: &MachineSpec = MachineSpec) -> (), within WORK;
    stop(id: ServerId = ServerId, epoch: Epoch = Epoch, grace: Option<Duration> = Option<Duration>) -> (),
        within ORDER.saturating_add(grace.unwrap_or_default());
    pause(id: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within ORDER;
    resume(id: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within ORDER;
    reboot_softly(spec: &MachineSpec = MachineSpec, grace: Duration = Duration) -> bool,
        within ORDER.saturating_add(grace);
    copy_disk(id: ServerId = ServerId, epoch: Epoch = Epoch, target: &Path = PathBuf, quiesce: Quiesce = Quiesce) -> bool,
        within WORK;
    set_password(id: ServerId = ServerId, user: &str = String, password: &str = String) -> (), within ORDER;
    interrupt(id: ServerId = ServerId) -> (), within ORDER;
    diagnostics(id: ServerId = ServerId) -> Diagnostics, within QUESTION;
    offer(id: ServerId = ServerId) -> Offer, within QUESTION;
    receive(there: &MachineSpec = MachineSpec, offer: &Offer = Offer) -> Arrival, within ORDER;
    migrate(wish: &Departure = Departure) -> (), within ORDER;
    migration(id: ServerId = ServerId) -> Option<Progress>, within QUESTION;
    steer_migration(id: ServerId = ServerId, epoch: Epoch = Epoch, steer: Steer = Steer) -> (), within ORDER;
    standing(id: ServerId = ServerId) -> Standing, within QUESTION;
    remove(id: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within ORDER;
}

calls! {
    Disks as DisksCall, sent by RemoteDisks to "disks", besides {
        async fn fetch_base(&self, base: &BaseImage, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
            self.channel.send_base(base, bytes).await
        }

        async fn open_copy(&self, server: ServerId) -> Result<Copied> {
            self.channel.open_copy(server).await
        }

        async fn open_part(&self, server: ServerId, part: Part) -> Result<BoxStream<'static, Result<Bytes>>> {
            self.channel.open_part(server, part).await
        }

        async fn receive_part(&self, wish: &Incoming, bytes: BoxStream<'static, Result<Bytes>>) -> Result<()> {
            self.channel.send_part(wish, bytes).await
        }
    };
    has_base(base: &BaseImage = BaseImage) -> bool, within QUESTION;
    bases() -> Vec<CachedBase>, within QUESTION;
    drop_base(base: &BaseImage = BaseImage) -> bool, within ORDER;
    make_root(wish: &RootDisk = RootDisk) -> PathBuf, within ORDER;
    make_blank(wish: &BlankDisk = BlankDisk) -> PathBuf, within ORDER;
    remove_part(server: ServerId = ServerId, epoch: Epoch = Epoch, part: Part = Part) -> (), within ORDER;
    place_for_copy(server: ServerId = ServerId, epoch: Epoch = Epoch) -> PathBuf, within ORDER;
    copy_at_rest(server: ServerId = ServerId, epoch: Epoch = Epoch, part: Part = Part) -> (), within WORK;
    drop_copy(server: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within ORDER;
    pack(server: ServerId = ServerId) -> Luggage, within ORDER;
    unpack(server: ServerId = ServerId, epoch: Epoch = Epoch, luggage: &Luggage = Luggage) -> PathBuf, within ORDER;
    mark(server: ServerId = ServerId, epoch: Epoch = Epoch, mark: &str = String) -> (), within ORDER;
    has_mark(server: ServerId = ServerId, mark: &str = String) -> bool, within QUESTION;
    write_config_drive(wish: &ConfigDrive = ConfigDrive) -> PathBuf, within ORDER;
    console_log(server: ServerId = ServerId) -> PathBuf, within ORDER;
    read_console_log(server: ServerId = ServerId, lines: Option<usize> = Option<usize>) -> String, within QUESTION;
    remove(server: ServerId = ServerId, epoch: Epoch = Epoch) -> (), within ORDER;
    list() -> Vec<ServerId>, within QUESTION;
    space() -> DiskSpace, within QUESTION;
}

calls! {
    Fabric as FabricCall, sent by RemoteFabric to "fabric", besides {};
    ensure(wish: &NetworkWish = NetworkWish) -> String, within ORDER;
    remove(id: NetworkId = NetworkId, epoch: Epoch = Epoch) -> (), within ORDER;
    list() -> Vec<NetworkId>, within QUESTION;
    facts() -> FabricFacts, within QUESTION;
}
