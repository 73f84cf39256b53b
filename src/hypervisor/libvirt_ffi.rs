//! The calls of libvirt that `virt` has no safe wrapper for: hearing of domains' changes, interrupting a guest, copying a
//! running machine's disks, what long work on a domain counts, and the time its virtual CPUs have run.
//!
//! The events carry nothing here but the news that there is news (see [`super::Hypervisor::events`]), so the callback
//! does the least that a foreign thread can do: it bumps a counter.
#![expect(unsafe_code, reason = "what is wrapped here is only in virt-sys")]

use std::ffi::CString;
use std::os::raw::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::watch;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

pub type Changes = watch::Sender<u64>;

/// A registration on a connection. It must be ended before the connection is closed: until then libvirt keeps it open.
#[derive(Debug)]
pub struct Registration(c_int);

/// Bumps `changes` whenever a domain of this connection starts, stops, pauses or goes. The event loop must be running.
pub fn watch_domains(connect: &Connect, changes: Arc<Changes>) -> Result<Registration, Error> {
    // SAFETY: libvirt calls `virConnectDomainEventGenericCallback` through the type that belongs to the event id, which
    // for LIFECYCLE is that of `changed`; casting function pointers to the generic type is how its API is used.
    let callback =
        unsafe { std::mem::transmute::<LifecycleCallback, sys::virConnectDomainEventGenericCallback>(Some(changed)) };
    let opaque = Arc::into_raw(changes).cast_mut().cast::<c_void>();
    // SAFETY: the connection is open while `connect` is borrowed; a null domain means all of them; `opaque` is a
    // counted reference that `release` gives back, which libvirt calls once, after the last callback.
    let id = unsafe {
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            std::ptr::null_mut(),
            sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int,
            callback,
            opaque,
            Some(release),
        )
    };
    if id < 0 {
        let error = Error::last_error();
        // SAFETY: a failed registration does not take `opaque`, so the reference is still ours to give back.
        unsafe { release(opaque) };
        return Err(error);
    }
    Ok(Registration(id))
}

/// Ends a registration. An error means that the connection is broken; then there is nothing left to end.
pub fn unwatch_domains(connect: &Connect, registration: &Registration) {
    // SAFETY: the connection is open while `connect` is borrowed, and an id it does not know is an error, not a fault.
    let _ = unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), registration.0) };
}

type LifecycleCallback = sys::virConnectDomainEventCallback;

extern "C" fn changed(
    _connect: sys::virConnectPtr,
    _domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: `opaque` is the pointer given at registration, alive until `release`; a watch sender is shared freely.
    let changes = unsafe { &*opaque.cast::<Changes>() };
    // A panic must not cross into C.
    let _ = catch_unwind(AssertUnwindSafe(|| changes.send_modify(|count| *count += 1)));
    0
}

unsafe extern "C" fn release(opaque: *mut c_void) {
    // SAFETY: the caller hands over the reference that `Arc::into_raw` made, once.
    drop(unsafe { Arc::from_raw(opaque.cast::<Changes>()) });
}

fn done(answer: c_int) -> Result<(), Error> {
    if answer < 0 { Err(Error::last_error()) } else { Ok(()) }
}

/// Sends a non-maskable interrupt.
pub fn inject_nmi(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain's pointer is valid while it is borrowed; there are no flags.
    done(unsafe { sys::virDomainInjectNMI(domain.as_ptr(), 0) })
}

/// Begins to copy a running machine's disks as they are now, as an XML of `domainbackup` says.
///
/// # Errors
/// Libvirt's; text with a NUL inside is no XML, and is taken for empty, which libvirt refuses.
pub fn begin_backup(domain: &Domain, xml: &str) -> Result<(), Error> {
    let xml = CString::new(xml).unwrap_or_default();
    // SAFETY: pointer and text are valid during the call, which keeps neither; no checkpoint is asked for.
    done(unsafe { sys::virDomainBackupBegin(domain.as_ptr(), xml.as_ptr(), std::ptr::null(), 0) })
}

/// Ends whatever long work libvirt does on a domain.
pub fn abort_job(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain's pointer is valid while it is borrowed.
    done(unsafe { sys::virDomainAbortJob(domain.as_ptr()) })
}

/// Nanoseconds that each virtual CPU has run, for at most `count` of them.
pub fn cpu_times(domain: &Domain, count: usize) -> Result<Vec<u64>, Error> {
    let empty = sys::virVcpuInfo { number: 0, state: 0, cpuTime: 0, cpu: 0 };
    let mut infos = vec![empty; count];
    let length = c_int::try_from(count).unwrap_or(c_int::MAX);
    // SAFETY: the array has as many places as are stated, and no CPU maps are asked for.
    let found = unsafe { sys::virDomainGetVcpus(domain.as_ptr(), infos.as_mut_ptr(), length, std::ptr::null_mut(), 0) };
    done(found)?;
    infos.truncate(usize::try_from(found).unwrap_or(0));
    Ok(infos.iter().map(|info| info.cpuTime).collect())
}

/// What libvirt counts of long work on a domain.
pub struct Job {
    /// One of `VIR_DOMAIN_JOB_…`.
    pub kind: u32,
    fields: sys::virTypedParameterPtr,
    count: c_int,
}

/// Long work on a domain, or with `VIR_DOMAIN_JOB_STATS_COMPLETED` the last that ended; `None` when there is none.
pub fn job(domain: &Domain, flags: u32) -> Result<Option<Job>, Error> {
    let (mut kind, mut count): (c_int, c_int) = (0, 0);
    let mut fields: sys::virTypedParameterPtr = std::ptr::null_mut();
    // SAFETY: the three places outlive the call, which fills them.
    done(unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut fields, &raw mut count, flags) })?;
    let job = Job { kind: kind.cast_unsigned(), fields, count };
    Ok((!fields.is_null() && job.kind != sys::VIR_DOMAIN_JOB_NONE).then_some(job))
}

impl Job {
    fn field(&self, name: &str) -> Option<&sys::virTypedParameter> {
        let name = CString::new(name).ok()?;
        // SAFETY: the list and its length are libvirt's own and live as long as `self`, the name is a C string.
        unsafe { sys::virTypedParamsGet(self.fields, self.count, name.as_ptr()).as_ref() }
    }

    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// 0 for what is not counted.
    pub fn number(&self, name: &str) -> u64 {
        let Some(field) = self.field(name) else { return 0 };
        let (int, unsigned) = (sys::VIR_TYPED_PARAM_INT, sys::VIR_TYPED_PARAM_UINT);
        let (long, unsigned_long) = (sys::VIR_TYPED_PARAM_LLONG, sys::VIR_TYPED_PARAM_ULLONG);
        // SAFETY: the type says which of the union's members is there.
        unsafe {
            match field.type_.cast_unsigned() {
                kind if kind == int => u64::try_from(field.value.i).unwrap_or(0),
                kind if kind == unsigned => field.value.ui.into(),
                kind if kind == long => u64::try_from(field.value.l).unwrap_or(0),
                kind if kind == unsigned_long => field.value.ul,
                kind if kind == sys::VIR_TYPED_PARAM_BOOLEAN => u64::from(field.value.b != 0),
                _ => 0,
            }
        }
    }

    pub fn text(&self, name: &str) -> Option<String> {
        let field = self.field(name).filter(|field| field.type_.cast_unsigned() == sys::VIR_TYPED_PARAM_STRING)?;
        // SAFETY: the type says that the member is a string, which is libvirt's and copied here.
        unsafe { field.value.s.as_ref().map(|text| std::ffi::CStr::from_ptr(text).to_string_lossy().into_owned()) }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: the list was allocated by libvirt for us, and is not used any more.
        unsafe { sys::virTypedParamsFree(self.fields, self.count) };
    }
}

/// How the last long work on a domain ended, as far as libvirt remembers: `Err` with its reason inside for a failure.
pub fn last_job(domain: &Domain) -> Result<Result<(), String>, Error> {
    let Some(job) = job(domain, sys::VIR_DOMAIN_JOB_STATS_COMPLETED)? else {
        return Ok(Err("nothing is known of how it ended".to_owned()));
    };
    let reason = job.text("errmsg").unwrap_or_else(|| "no reason is given".to_owned());
    Ok(if job.number("success") != 0 { Ok(()) } else { Err(reason) })
}

/// Lets a guest that moves go on at the other host before all its memory is there.
pub fn start_post_copy(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain's pointer is valid while it is borrowed; there are no flags.
    done(unsafe { sys::virDomainMigrateStartPostCopy(domain.as_ptr(), 0) })
}

/// Brings the guest's file systems to rest, by way of its agent.
pub fn freeze(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain's pointer is valid while it is borrowed; no list means all file systems.
    done(unsafe { sys::virDomainFSFreeze(domain.as_ptr(), std::ptr::null_mut(), 0, 0) })
}

/// Lets the guest's file systems go on.
pub fn thaw(domain: &Domain) -> Result<(), Error> {
    // SAFETY: as for `freeze`.
    done(unsafe { sys::virDomainFSThaw(domain.as_ptr(), std::ptr::null_mut(), 0, 0) })
}
