//! DNS names in rules: `toFQDNs`, `rules.dns`, `serverNames`.

use crate::names::NamePattern;
use crate::objects::field::{Fault, Field, Object};

/// An entry of `toFQDNs` or `rules.dns`: `matchName` or `matchPattern`, one of them.
pub(super) fn selector(field: &Field<'_>) -> Result<NamePattern, Fault> {
    let object = field.object()?;
    object.only(&["matchName", "matchPattern"], &[])?;
    match (object.get("matchName"), object.get("matchPattern")) {
        (Some(name), None) => {
            NamePattern::exact(name.text()?).map_err(|error| name.fault(error.to_string()))
        }
        (None, Some(pattern)) => match pattern.text()? {
            "*" => Ok(NamePattern::every()),
            text => NamePattern::new(text).map_err(|error| pattern.fault(error.to_string())),
        },
        (None, None) => Err(field.fault("needs `matchName` or `matchPattern`")),
        (Some(_), Some(pattern)) => {
            Err(pattern.fault("cannot stand beside `matchName`: write an entry for each"))
        }
    }
}

/// The server names of a `toPorts` entry; `None` where it has none.
pub(super) fn server_names(entry: &Object<'_>) -> Result<Option<Vec<NamePattern>>, Fault> {
    let Some(list) = entry.get("serverNames") else {
        return Ok(None);
    };
    let items = list.list()?;
    if items.is_empty() {
        return Ok(None);
    }
    if let Some(rules) = entry.get("rules") {
        return Err(rules.fault(
            "cannot stand beside `serverNames` without `terminatingTLS`, which is not supported: \
             what is inside TLS cannot be read",
        ));
    }
    items
        .iter()
        .map(|item| NamePattern::new(item.text()?).map_err(|error| item.fault(error.to_string())))
        .collect::<Result<_, _>>()
        .map(Some)
}
