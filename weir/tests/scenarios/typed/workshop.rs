//! Text 3: a shop of many namespaces, and a policy that is debugged.

use std::fs;

use super::Learner;

const POLICIES: &str =
    "environment/eks-workshop/modules/networking/network-policies/apply-network-policies";

#[test]
fn a_shop_and_a_policy_that_is_debugged() {
    let mut learner = Learner::new(203, "s3", &[]);
    let folder = learner.folder().join(POLICIES);
    fs::create_dir_all(&folder).expect("the text's folder");
    for file in fs::read_dir(learner.folder()).expect("files").flatten() {
        if file.path().is_file() {
            fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
        }
    }
    let apply = |name: &str| format!("kubectl apply -f ~/{POLICIES}/{name}");
    let from_ui = |what: &str| format!("kubectl exec deployment/ui -n ui -- curl {what}");
    let late = "curl: (28)";

    learner.works("kubectl apply -f shop.yaml", &["namespace/ui created\n"]);
    let checkout =
        "kubectl exec deployment/catalog -n catalog -- curl -s http://checkout.checkout/health";
    let catalog = from_ui("-s http://catalog.catalog/health --connect-timeout 5");
    learner.works(checkout, &[]);
    learner.works(&catalog, &[]);
    learner.works(
        &format!("kubectl apply -n ui -f ~/{POLICIES}/default-deny.yaml"),
        &["networkpolicy.networking.k8s.io/default-deny created\n"],
    );
    learner.works(
        "kubectl get netpol -n ui",
        &["NAME           POD-SELECTOR   AGE\ndefault-deny   <none>"],
    );
    learner.works(checkout, &[]);
    learner.fails(&catalog, &[]);
    learner.works(&apply("allow-ui-egress.yaml"), &["created\n"]);
    learner.works(&from_ui("http://catalog.catalog/health"), &[]);
    learner.works(&from_ui("http://checkout.checkout/health"), &[]);
    learner.fails(&from_ui("-v www.google.com --connect-timeout 5"), &[late]);

    let orders = |what: &str| {
        format!("kubectl exec deployment/orders -n orders -- curl -v {what} --connect-timeout 5")
    };
    // curl keeps such a connection open until somebody ends it.
    let connects = |line: &str| {
        learner
            .goes_on(line)
            .says("Connected to catalog-mysql.catalog")
    };
    let database = "telnet://catalog-mysql.catalog:3306";
    learner.works(
        &from_ui("-v catalog.catalog/health --connect-timeout 5"),
        &["200 OK"],
    );
    learner.works(&orders("catalog.catalog/health"), &["200 OK"]);
    connects(&orders(database));
    learner.works(
        &apply("allow-catalog-ingress-webservice.yaml"),
        &["created\n"],
    );
    learner.works(
        &from_ui("-v catalog.catalog/health --connect-timeout 5"),
        &["200 OK"],
    );
    learner.fails(&orders("catalog.catalog/health"), &[late]);
    learner.works(&apply("allow-catalog-ingress-db.yaml"), &["created\n"]);
    learner.fails(&orders(database), &[late]);
    learner.fails(
        &from_ui(&format!("-v {database} --connect-timeout 5")),
        &[late],
    );
    let own = format!(
        "kubectl exec deployment/catalog -n catalog -- curl -v {database} --connect-timeout 5"
    );
    connects(&own);
    let before = learner.works(
        "kubectl get pods -n catalog -o name",
        &["pod/catalog-mysql-0\n"],
    );
    learner.works(
        "kubectl rollout restart deployment/catalog -n catalog",
        &["deployment.apps/catalog restarted\n"],
    );
    learner.works(
        "kubectl rollout status deployment/catalog -n catalog --timeout=2m",
        &["deployment \"catalog\" successfully rolled out\n"],
    );
    assert_ne!(
        before,
        learner.works("kubectl get pods -n catalog -o name", &[])
    );
    connects(&own);

    learner.works(
        &apply("allow-order-ingress-fail-debug.yaml"),
        &["created\n"],
    );
    learner.fails(
        &from_ui("-v orders.orders/orders --connect-timeout 5"),
        &[late],
    );
    learner.export("export POD_HOSTIP_1=$(kubectl get po --selector app.kubernetes.io/component=service -n orders -o json | jq -r '.items[0].spec.nodeName')");
    learner.works("echo $POD_HOSTIP_1", &["lab-node\n"]);
    learner.works(
        "echo 'grep DENY /host/var/log/aws-routed-eni/network-policy-agent.log | tail -5' | kubectl debug node/$POD_HOSTIP_1 -it --image=ubuntu",
        &["DENY time=", "dst=orders/"],
    );
    learner.works(
        &apply("allow-order-ingress-success-debug.yaml"),
        &["created\n"],
    );
    learner.works(
        &from_ui("-v orders.orders/orders --connect-timeout 5"),
        &["200 OK"],
    );
}
