//! What is no manifest yet: a Helm template, or a text with variables.

const HELM: &str = "render the Helm template first: `helm template … | weir lint -f -`";
const VARIABLES: &str = "put the variables in first: `envsubst < FILE | weir lint -f -`";

/// What is to be done before a text can be read, where a `{{` or a `${` in it is what is wrong.
pub fn unrendered(text: &str) -> Option<&'static str> {
    if text.contains("{{") {
        return Some(HELM);
    }
    text.contains("${").then_some(VARIABLES)
}
