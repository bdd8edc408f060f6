//! Text 1: a namespace under a policy that is edited again and again.

use super::Learner;

/// What the text says to do in the editor, done to the file.
const PODS: &str = r"sed -i '/^spec:/a\  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: utils'";
const NAMESPACE: &str = r"sed -i 's/podSelector:\n        matchLabels:\n          app: utils/x/; s/    - podSelector:/    - namespaceSelector:/; s/          app: utils/          name: utils/'";
const PORT: &str = r"sed -i '/  - from:/,/          name: utils/d; s/^  ingress:/  ingress:\n  - ports:\n    - port: 80\n      protocol: TCP/'";

#[test]
fn one_policy_edited_again_and_again() {
    let mut learner = Learner::new(201, "s1", &[]);
    learner.works(
        "kubectl apply -f utils.yaml ",
        &[
            "namespace/utils created\n",
            "deployment.apps/utils created\n",
        ],
    );
    learner.works(
        "kubectl apply -f troubleshoot.yaml ",
        &[
            "namespace/troubleshoot created\n",
            "deployment.apps/troubleshoot created\n",
        ],
    );
    learner.works(
        "kubectl get pod --namespace utils -o wide",
        &[
            "NOMINATED NODE   READINESS GATES\nutils-",
            "1/1     Running   0",
            "lab-node   <none>           <none>\n",
        ],
    );
    learner.works(
        "kubectl get pods --namespace utils",
        &["READY   STATUS    RESTARTS   AGE\nutils-"],
    );
    for (name, namespace) in [("utils", "utils"), ("troubleshoot", "troubleshoot")] {
        learner.export(&format!(
            "export {name}=$(kubectl get pod -n {namespace} -o jsonpath='{{.items[0].metadata.name}}')"
        ));
    }
    learner.works(
        "kubectl exec -i -t $utils --namespace utils -- nslookup www.google.com",
        &[
            "10.96.0.10#53",
            "Name:\twww.google.com\nAddress: 198.51.100.68",
        ],
    );
    learner.works(
        "kubectl get svc --namespace kube-system",
        &["TYPE        CLUSTER-IP   EXTERNAL-IP   PORT(S)         AGE\nkube-dns   ClusterIP   10.96.0.10   <none>        53/UDP,53/TCP"],
    );
    learner.works(
        "kubectl exec -i -t $utils --namespace utils -- ping -c 4 www.google.com",
        &["4 packets transmitted, 4 received, 0% packet loss"],
    );

    learner.works(
        "kubectl apply -f webapp-balanced.yaml -f ingress-controller.yaml",
        &["ingress.networking.k8s.io/balanced-ingress created\n"],
    );
    learner.works(
        "kubectl delete pod docs -n webapp-balanced",
        &["pod \"docs\" deleted\n"],
    );
    learner.works(
        "kubectl get pod --namespace webapp-balanced -o wide",
        &["webapp-balanced-"],
    );
    learner.export("export web=$(kubectl get pod -n webapp-balanced -o go-template='{{(index .items 0).status.podIP}}')");
    let open = |learner: &Learner, from: &str| {
        learner.works(
            &format!("kubectl exec -i -t ${from} --namespace {from} -- nc -zv -w 2 $web 80"),
            &["80 port [tcp/http] succeeded!"],
        );
    };
    let shut = |learner: &Learner, from: &str| {
        learner.fails(
            &format!("kubectl exec -i -t ${from} --namespace {from} -- nc -zv -w 2 $web 80"),
            &["port 80 (tcp) timed out"],
        );
    };
    let ping = "kubectl exec -i -t $utils --namespace utils -- ping -c 1 -W 1 $web";
    learner.works(ping, &["0% packet loss"]);
    open(&learner, "utils");
    open(&learner, "troubleshoot");

    learner.works(
        "kubectl apply -f network-policy-ingress-deny-all.yaml ",
        &["networkpolicy.networking.k8s.io/default-deny-ingress created\n"],
    );
    learner.works(
        "kubectl get networkpolicy --namespace webapp-balanced -o yaml",
        &[
            "items:\n- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n",
            "creationTimestamp:",
            "generation: 1\n",
            "podSelector: {}\n",
            "kind: List\n",
        ],
    );
    learner.fails(ping, &["100% packet loss"]);
    shut(&learner, "utils");
    shut(&learner, "troubleshoot");

    let edit = "kubectl edit networkpolicy default-deny-ingress --namespace webapp-balanced";
    let edited = "networkpolicy.networking.k8s.io/default-deny-ingress edited\n";
    let with = |editor: &str| format!("EDITOR={} {edit}", shell_quoted(editor));
    learner.works(&with(r"sed -i '/^spec:/a\  ingress:\n  - {}'"), &[edited]);
    learner.works(ping, &["0% packet loss"]);
    open(&learner, "utils");
    learner.works(&with("sed -i '/^  ingress:/,/^  - {}/d'"), &[edited]);
    shut(&learner, "utils");

    // The text errs here: pods of that label in the policy's own namespace are meant.
    learner.works(&with(PODS), &[edited]);
    shut(&learner, "utils");
    learner.works(
        "kubectl get deployment --namespace utils -o wide",
        &[
            "CONTAINERS   IMAGES                 SELECTOR\nutils   1/1     1            1",
            "utils        amouat/network-utils   app=utils\n",
        ],
    );
    learner.works(&with(NAMESPACE), &[edited]);
    learner.works(ping, &["0% packet loss"]);
    open(&learner, "utils");
    shut(&learner, "troubleshoot");

    learner.works(
        "kubectl get ingress -A",
        &[
            "NAMESPACE         NAME               CLASS    HOSTS",
            "webapp-balanced   balanced-ingress   <none>   foo-balanced.bar",
        ],
    );
    learner.works(&with(PORT), &[edited]);
    learner.works(
        "kubectl describe netpol default-deny-ingress -n webapp-balanced",
        &["To Port: 80/TCP\n", "From: <any>"],
    );
    open(&learner, "utils");
    open(&learner, "troubleshoot");
    learner.fails(ping, &["100% packet loss"]);
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
