//! Records as JSON, in the form of Hubble's `-o jsonpb`: protobuf's JSON with the names of its text.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::{Value, value};

use crate::api::{
    DESCRIPTORS,
    flow::{Flow, FlowFilter},
    observer::GetFlowsResponse,
};

/// Something that is not what it should be as JSON.
#[derive(Debug, thiserror::Error)]
#[error("not a {what}: {reason}")]
pub struct JsonError {
    /// What was wanted.
    what: &'static str,
    /// What is wrong with it.
    reason: String,
}

/// A message that has a form in JSON.
pub trait Json: Message + Default {
    /// Its name in the API.
    const NAME: &'static str;
}

impl Json for Flow {
    const NAME: &'static str = "flow.Flow";
}
impl Json for FlowFilter {
    const NAME: &'static str = "flow.FlowFilter";
}
impl Json for GetFlowsResponse {
    const NAME: &'static str = "observer.GetFlowsResponse";
}

/// A message as JSON.
pub fn to_value<M: Json>(message: &M) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let written = descriptor(M::NAME)
        .and_then(|descriptor| {
            let bytes = message.encode_to_vec();
            DynamicMessage::decode(descriptor, bytes.as_slice()).map_err(|e| e.to_string())
        })
        .and_then(|dynamic| {
            dynamic
                .serialize_with_options(value::Serializer, &options)
                .map_err(|e| e.to_string())
        });
    // Every message of ours has a descriptor, and each of its values a form in JSON.
    written.unwrap_or_else(Value::from)
}

/// A message from JSON; fields that are not known are passed over.
///
/// # Errors
/// [`JsonError`] where it is not such a message.
pub fn from_value<M: Json>(value: Value) -> Result<M, JsonError> {
    let failed = |reason: String| JsonError {
        what: M::NAME,
        reason,
    };
    let descriptor = descriptor(M::NAME).map_err(failed)?;
    let options = prost_reflect::DeserializeOptions::new().deny_unknown_fields(false);
    DynamicMessage::deserialize_with_options(descriptor, value, &options)
        .map_err(|error| failed(error.to_string()))?
        .transcode_to()
        .map_err(|error| failed(error.to_string()))
}

/// A message of the API by its full name.
pub(crate) fn descriptor(name: &str) -> Result<MessageDescriptor, String> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(DESCRIPTORS).map_err(|e| e.to_string()));
    pool.clone()?
        .get_message_by_name(name)
        .ok_or_else(|| format!("{name} is not part of the API"))
}

/// A line of `-o jsonpb`: an answer, or a flow by itself as older clients write it.
///
/// # Errors
/// [`JsonError`] where the line is neither.
pub fn read_line(line: &str) -> Result<GetFlowsResponse, JsonError> {
    let value: Value = serde_json::from_str(line).map_err(|error| JsonError {
        what: "flow",
        reason: error.to_string(),
    })?;
    let wrapped = ["flow", "node_status", "lost_events"];
    if wrapped.iter().any(|name| value.get(name).is_some()) {
        return from_value(value);
    }
    let flow: Flow = from_value(value)?;
    Ok(crate::service::response(flow))
}
