//! `SetClock`: what time it is. The host tells when its own clock was set, and when this guest has stood still.

use crate::boot;
use a3s_box_agent::proto::agent::{SetClockReply, SetClockRequest};
use rustix::time::{ClockId, clock_gettime};
use tonic::Status;

/// What a clock may be off by before it is set: less than that is the message's own delay.
const TOLERANCE_NS: i64 = 50_000_000;

/// Sets `CLOCK_REALTIME`; what measures spans of time runs on as it did.
pub(super) fn set_clock(request: &SetClockRequest) -> Result<SetClockReply, Status> {
    let told = i64::try_from(request.realtime_ns)
        .map_err(|_| Status::invalid_argument("no such time: it is after the year 2262"))?;
    let now = clock_gettime(ClockId::Realtime);
    let now = now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec);
    let behind_ns = told.saturating_sub(now);
    if behind_ns.saturating_abs() > TOLERANCE_NS {
        boot::set_clock(request.realtime_ns)
            .map_err(|e| Status::internal(format!("cannot set the clock: {e}")))?;
    }
    Ok(SetClockReply { behind_ns })
}
