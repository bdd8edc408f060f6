//! Text 4: sleep and httpbin, ingress, egress and HTTP.

use super::Learner;

#[test]
fn ingress_egress_and_http() {
    let learner = Learner::new(204, "s4", &[]);
    learner.works(
        "kubectl apply -f sleep.yaml",
        &[
            "serviceaccount/sleep created\n",
            "deployment.apps/sleep created\n",
        ],
    );
    // The text's is on GitHub.
    let web = learner.goes_on("python3 -u -m http.server 0 --bind 127.0.0.1");
    web.says("Serving HTTP on 127.0.0.1 port ");
    let at = "http://127.0.0.1:$(grep -o 'port [0-9]*' going.log | cut -d' ' -f2)";
    learner.works(
        &format!("NO_PROXY='*' kubectl apply -f {at}/httpbin.yaml"),
        &["service/httpbin created\n"],
    );
    learner.fails(
        &format!("NO_PROXY='*' kubectl apply -f {at}/nosuch.yaml"),
        &["cannot fetch http://127.0.0.1:", "404"],
    );
    drop(web);
    // As people lose patience with what does not come.
    let asked = |namespace: &str, what: &str| {
        format!("timeout 3 kubectl exec -it deploy/sleep -n {namespace} -- curl -s {what}")
    };
    let headers = "httpbin.default:8000/headers";
    learner.works(
        "kubectl exec -it deploy/sleep -- curl httpbin:8000/headers",
        &["\"Host\": \"httpbin:8000\""],
    );

    learner.works(
        "kubectl apply -f default-deny-ingress.yaml",
        &["/default-deny-ingress created\n"],
    );
    learner.fails(&asked("default", headers), &[]);
    learner.works(
        "kubectl apply -f allow-ingress-to-httpbin.yaml",
        &["created\n"],
    );
    learner.works(&asked("default", headers), &["Host"]);

    learner.works("kubectl create ns sleep", &["namespace/sleep created\n"]);
    learner.works(
        "kubectl apply -f sleep.yaml -n sleep",
        &["deployment.apps/sleep created\n"],
    );
    learner.fails(&asked("sleep", headers), &[]);
    learner.works(
        "kubectl apply -f allow-ingress-from-sleep.yaml",
        &["created\n"],
    );
    learner.works(&asked("sleep", headers), &["Host"]);
    learner.works(
        "kubectl apply -f allow-ingress-from-sleep-narrowed.yaml",
        &["configured\n"],
    );
    learner.works(&asked("sleep", headers), &["Host"]);
    learner.works(
        "kubectl delete netpol --all",
        &["networkpolicy.networking.k8s.io \"default-deny-ingress\" deleted\n"],
    );
    learner.works(
        "kubectl get netpol",
        &["No resources found in default namespace.\n"],
    );

    learner.works("kubectl apply -f allow-ns-ingress.yaml", &["created\n"]);
    learner.works(
        "kubectl exec -it deploy/sleep -n default -- curl httpbin.default:8000/headers",
        &["Host"],
    );
    learner.fails(&asked("sleep", headers), &[]);

    learner.works("kubectl apply -f deny-sleep-egress.yaml", &["created\n"]);
    learner.fails(&asked("default", headers), &[]);
    learner.works(
        "kubectl apply -f deny-sleep-to-httpbin-egress.yaml",
        &["created\n"],
    );
    learner.fails(&asked("default", headers), &[]);
    let by_address = "$(kubectl get svc httpbin -o jsonpath='{.spec.clusterIP}'):8000/headers";
    learner.works(&asked("default", by_address), &["Host"]);
    learner.works("kubectl apply -f allow-dns-egress.yaml", &["created\n"]);
    learner.works(&asked("default", headers), &["Host"]);
    learner.works("kubectl delete netpol --all", &["deleted\n"]);

    learner.works(
        "kubectl exec -it deploy/sleep -n default -- curl -X POST httpbin.default:8000/post",
        &["\"url\""],
    );
    learner.works(
        "kubectl exec -it deploy/sleep -n default -- curl httpbin.default:8000/ip",
        &["origin"],
    );
    learner.works(
        "kubectl apply -f allow-get-headers.yaml",
        &["ciliumnetworkpolicy.cilium.io/allow-get-headers created\n"],
    );
    learner.works(&asked("default", headers), &["Host"]);
    learner.works(
        &asked(
            "default",
            "-X POST httpbin.default:8000/post -w '%{http_code}'",
        ),
        &["Access denied", "403"],
    );
    learner.works(
        &asked("default", "httpbin.default:8000/ip"),
        &["Access denied"],
    );
    // The text's loops are typed into a shell of the pod.
    learner.works(
        "echo 'for i in 1 2 3; do curl -s httpbin.default:8000/headers; done' | kubectl exec -it deploy/sleep -n default -- /bin/sh",
        &["Host"],
    );
    learner.works(
        "hubble observe -o json --from-label \"app=sleep\" --to-label \"app=httpbin\"",
        &["\"verdict\":"],
    );
    let observed = learner.goes_on("hubble observe --to-namespace default -f");
    learner.works(&asked("default", headers), &["Host"]);
    observed.says("/headers");
    drop(observed);
    let forward = learner.goes_on("kubectl port-forward svc/httpbin :8000 -n default");
    forward.says("Forwarding from 127.0.0.1:");
    learner.works(
        "curl -s -m 5 --noproxy '*' http://$(grep -o '127.0.0.1:[0-9]*' going.log)/ip",
        &["\"origin\": \"127.0.0.1\""],
    );
}
