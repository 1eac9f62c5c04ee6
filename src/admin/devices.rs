//! Devices: serial numbers, custody, check values of their keys.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Admin;
use super::affairs::{Outcome, one_of};
use super::extract::{IfMatch, Parameters, Path, SeenVersion, Write, versioned};
use super::page;
use super::problem::{Refusal, blocking};
use super::terminals::acquirer_of;
use crate::binding::device::{DeviceEvent, DeviceState};
use crate::store::Registry;
use crate::store::command::{Command, DeviceName, DeviceView};

/// All routes of this file.
pub(super) fn router() -> OpenApiRouter<Admin> {
    OpenApiRouter::new()
        .routes(routes!(list, add_device))
        .routes(routes!(show_device))
        .routes(routes!(device_event))
        .routes(routes!(load_keys))
}

/// A device, as it is put on the inventory.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    /// Serial number
    serial: String,
    /// Maker and model
    #[serde(default)]
    model: String,
    /// Who has it
    #[serde(default)]
    custody: String,
}

/// Put a device on the inventory
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}", tag = "devices",
    params(("acquirer" = String, Path)),
    request_body = NewDevice, responses((status = 200, body = Outcome))
)]
async fn add_device(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
    write: Write<NewDevice>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: NewDevice| {
        Ok(Command::AddDevice {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial: new.serial,
            },
            model: new.model,
            custody: new.custody,
        })
    };
    admin.command(write, None, make).await
}

/// Devices.
#[derive(Debug, Serialize, ToSchema)]
struct Devices {
    devices: Vec<DeviceView>,
    /// The cursor to go on with; null on the last page
    next: Option<String>,
}

/// Which devices.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Those in one state: stocked, reserved, deployed, in-repair, lost, wipe-pending, wiped, wipe-failed or retired
    state: Option<String>,
    /// Where the page before ended
    cursor: Option<String>,
    /// How many a page has, 1 to 1000; 100 when absent
    limit: Option<String>,
}

/// An acquirer's devices in the order of their entry
#[utoipa::path(
    get, path = "/v1/devices/{acquirer}", tag = "devices",
    params(("acquirer" = String, Path), Asked),
    responses((status = 200, body = Devices))
)]
async fn list(
    State(admin): State<Admin>,
    Path(acquirer): Path<String>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Refusal> {
    let state = asked.state.as_deref();
    let state = state
        .map(|name| one_of!(DeviceState, "state", name))
        .transpose()?;
    let page = page::Asked::of(asked.cursor, asked.limit).page()?;
    blocking(move || {
        let mut registry = admin.registry.lock();
        let acquirer = acquirer_of(registry.as_mut(), &acquirer)?;
        let found = registry.device_views(acquirer, state, page.part())?;
        let (found, next) = page.cut(found, |(number, _)| *number);
        let devices = found.into_iter().map(|(_, device)| device).collect();
        Ok(Json(Devices { devices, next }).into_response())
    })
    .await
}

/// A device
#[utoipa::path(
    get, path = "/v1/devices/{acquirer}/{serial}", tag = "devices",
    params(("acquirer" = String, Path), ("serial" = String, Path)),
    responses((status = 200, body = DeviceView))
)]
async fn show_device(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    blocking(move || {
        let mut registry = admin.registry.lock();
        let acquirer = acquirer_of(registry.as_mut(), &acquirer)?;
        let name = DeviceName { acquirer, serial };
        let found = registry.device_view(&name)?;
        let found = found.ok_or_else(|| Refusal::unknown("device", &name.serial))?;
        let version = found.version;
        Ok(versioned(Json(found), version))
    })
    .await
}

/// What happens to a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeviceHappening {
    /// reserve, release, deploy, repair, lose, find, order-wipe, wiped, wipe-failed, restock or retire
    event: String,
    /// Who has it from now on; empty leaves it
    #[serde(default)]
    custody: String,
    /// Why
    #[serde(default)]
    note: String,
}

/// Say what happened to a device
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}/{serial}/events", tag = "devices",
    params(
        ("acquirer" = String, Path), ("serial" = String, Path),
        SeenVersion,
    ),
    request_body = DeviceHappening, responses((status = 200, body = Outcome))
)]
async fn device_event(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
    IfMatch(version): IfMatch,
    write: Write<DeviceHappening>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: DeviceHappening| {
        Ok(Command::Device {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial,
            },
            event: one_of!(DeviceEvent, "event", &new.event)?,
            custody: new.custody,
            note: new.note,
        })
    };
    admin.command(write, version, make).await
}

/// Check values of the keys that were loaded.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoadedKeys {
    /// Name and check value (6 to 16 hexadecimal digits) of each; never a key
    check_values: std::collections::BTreeMap<String, String>,
}

/// Say which keys were loaded into a device, by their check values
#[utoipa::path(
    post, path = "/v1/devices/{acquirer}/{serial}/keys", tag = "devices",
    params(("acquirer" = String, Path), ("serial" = String, Path)),
    request_body = LoadedKeys, responses((status = 200, body = Outcome))
)]
async fn load_keys(
    State(admin): State<Admin>,
    Path((acquirer, serial)): Path<(String, String)>,
    write: Write<LoadedKeys>,
) -> Result<Response, Refusal> {
    let make = move |registry: &mut dyn Registry, new: LoadedKeys| {
        Ok(Command::LoadKeys {
            device: DeviceName {
                acquirer: acquirer_of(registry, &acquirer)?,
                serial,
            },
            check_values: new.check_values.into_iter().collect(),
        })
    };
    admin.command(write, None, make).await
}
