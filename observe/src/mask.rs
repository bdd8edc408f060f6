//! Field masks: the parts of flows that a client wants, and nothing else.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _};
use prost_types::FieldMask;

use crate::{api::flow::Flow, json};

/// Fields to keep by number; `None` keeps all that is below.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mask(BTreeMap<u32, Option<Mask>>);

/// A path that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("field_mask: a flow has no field {path:?}")]
pub struct MaskError {
    /// The path as it was given.
    path: String,
}

impl Mask {
    /// The mask of a request; `None` where everything is wanted.
    ///
    /// # Errors
    /// [`MaskError`] for a path that is none of a flow's, such as `source.port`.
    pub fn new(mask: Option<&FieldMask>) -> Result<Option<Self>, MaskError> {
        let paths = mask.map_or(&[][..], |mask| &mask.paths);
        if paths.is_empty() {
            return Ok(None);
        }
        let mut compiled = Self::default();
        for path in paths {
            let parts: Vec<&str> = path.split('.').collect();
            let added = json::descriptor("flow.Flow")
                .ok()
                .and_then(|flow| compiled.add(&flow, &parts));
            added.ok_or_else(|| MaskError { path: path.clone() })?;
        }
        Ok(Some(compiled))
    }

    fn add(&mut self, message: &MessageDescriptor, parts: &[&str]) -> Option<()> {
        let (first, rest) = parts.split_first()?;
        let field = message.get_field_by_name(first)?;
        if rest.is_empty() {
            self.0.insert(field.number(), None);
            return Some(());
        }
        // The mask of a list's messages would be one of each of them: the API has none.
        let Kind::Message(below) = field.kind() else {
            return None;
        };
        if field.is_list() {
            return None;
        }
        let entry = self.0.entry(field.number());
        match entry.or_insert_with(|| Some(Self::default())) {
            // All of it is wanted already: the path must be good all the same.
            None => Self::default().add(&below, rest),
            Some(mask) => mask.add(&below, rest),
        }
    }

    /// A flow with what is wanted of it.
    pub fn apply(&self, flow: &Flow) -> Flow {
        let Ok(descriptor) = json::descriptor("flow.Flow") else {
            return Flow::default();
        };
        let mut message = DynamicMessage::new(descriptor);
        if message.transcode_from(flow).is_err() {
            return Flow::default();
        }
        self.cut(&mut message);
        message.transcode_to().unwrap_or_default()
    }

    fn cut(&self, message: &mut DynamicMessage) {
        let fields: Vec<_> = message.descriptor().fields().collect();
        for field in fields {
            match self.0.get(&field.number()) {
                None => message.clear_field(&field),
                Some(None) => {}
                Some(Some(below)) => {
                    if message.has_field(&field)
                        && let Some(part) = message.get_field_mut(&field).as_message_mut()
                    {
                        below.cut(part);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::flow::{Endpoint, Verdict};

    fn mask(paths: &[&str]) -> Result<Option<Mask>, MaskError> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Mask::new(Some(&FieldMask { paths }))
    }

    #[test]
    fn what_is_wanted_stays() {
        let end = |name: &str| {
            Some(Endpoint {
                pod_name: name.into(),
                namespace: "default".into(),
                ..Endpoint::default()
            })
        };
        let flow = Flow {
            uuid: "1".into(),
            verdict: Verdict::Dropped.into(),
            source: end("sleep"),
            destination: end("httpbin"),
            ..Flow::default()
        };
        let wanted = mask(&[
            "verdict",
            "source.pod_name",
            "destination",
            "destination.ID",
        ]);
        let kept = wanted.unwrap().unwrap().apply(&flow);
        assert_eq!(kept.verdict(), Verdict::Dropped);
        assert_eq!((kept.uuid.as_str(), kept.destination), ("", end("httpbin")));
        let source = kept.source.unwrap();
        assert_eq!(
            (source.pod_name.as_str(), source.namespace.as_str()),
            ("sleep", "")
        );
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named() {
        for path in [
            "nothing",
            "source.port",
            "verdict.x",
            "source.workloads.name",
            "",
        ] {
            let error = mask(&[path]).expect_err(path);
            assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
        }
        assert_eq!(Mask::new(None).unwrap(), None);
        assert_eq!(mask(&[]).unwrap(), None);
    }
}
