use super::*;
use crate::object::read;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin}
spec:
  replicas: 2
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin, version: v1}}
    spec: {containers: [{name: c, image: httpbin, ports: [{containerPort: 80}]}]}
";

fn planned(yaml: &str) -> Result<Vec<PodPlan>> {
    plan(&read::text(yaml, "x.yaml", "default")?, &BTreeMap::new())
}

#[test]
fn deployments_name_pods_like_their_controllers() {
    let pods = planned(DEPLOYMENT).unwrap();
    let hash = &pods[0].labels["pod-template-hash"];
    assert_eq!(pods.len(), 2);
    assert!(pods[0].name.starts_with(&format!("httpbin-{hash}-")));
    assert_ne!(pods[0].name, pods[1].name);
    assert_eq!(pods[0].labels["version"], "v1");
    assert_eq!(pods[0].owner.as_deref(), Some("Deployment/httpbin"));
    let again = planned(DEPLOYMENT).unwrap();
    assert_eq!(pods[1].name, again[1].name);
}

#[test]
fn a_deleted_replica_comes_back_under_another_name() {
    let objects = read::text(DEPLOYMENT, "x.yaml", "default").unwrap();
    let before = plan(&objects, &BTreeMap::new()).unwrap();
    let after = plan(&objects, &BTreeMap::from([(before[0].slot.clone(), 1)])).unwrap();
    assert_ne!(before[0].name, after[0].name);
    assert_eq!(before[1].name, after[1].name);
}

#[test]
fn a_new_template_means_new_pods() {
    let before = planned(DEPLOYMENT).unwrap();
    let after = planned(&DEPLOYMENT.replace("version: v1", "version: v2")).unwrap();
    assert_ne!(before[0].name, after[0].name);
}

#[test]
fn mistakes_are_named() {
    let wrong = |yaml: &str| planned(yaml).unwrap_err().to_string();
    assert_eq!(
        wrong("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: []}}"),
        "x.yaml:1: Pod default/p: spec.containers: at least one container is needed"
    );
    assert!(
        wrong(&DEPLOYMENT.replace("replicas: 2", "replicas: two"))
            .starts_with("x.yaml:2: Deployment default/httpbin: spec.replicas: invalid type")
    );
    assert!(
        wrong(&DEPLOYMENT.replace("matchLabels: {app: httpbin}", "matchLabels: {app: x}"))
            .contains("spec.selector.matchLabels: app=x is not a label")
    );
    assert!(
        wrong(&DEPLOYMENT.replace("containerPort: 80", "containerPort: 80000"))
            .contains("spec.template.spec.containers[0].ports[0].containerPort: 80000")
    );
}
