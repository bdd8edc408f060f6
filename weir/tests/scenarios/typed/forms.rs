//! Forms of kubectl's words beyond the texts' own: what they show, and what they refuse.

use std::fs;

use super::Learner;

const OBJECTS: &str = "
apiVersion: v1
kind: Pod
metadata: { name: client, labels: { app: client } }
spec: { containers: [{ name: c, image: curlimages/curl }] }
---
apiVersion: v1
kind: Pod
metadata: { name: pair, labels: { app: pair } }
spec:
  initContainers:
  - { name: side, image: nginx, restartPolicy: Always, ports: [{ name: web, containerPort: 80 }] }
  containers:
  - { name: app, image: example/app, ports: [{ containerPort: 9000 }] }
  - { name: tools, image: busybox, command: [sleep, infinity] }
---
apiVersion: v1
kind: Pod
metadata: { name: silent, labels: { app: silent } }
spec: { containers: [{ name: app, image: example/silent }] }
---
apiVersion: v1
kind: Service
metadata: { name: pair }
spec: { selector: { app: pair }, ports: [{ port: 8080, targetPort: web }] }
---
apiVersion: v1
kind: Service
metadata: { name: google }
spec: { type: ExternalName, externalName: www.google.com }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p }
spec: { podSelector: { matchLabels: { app: nobody } } }
";

fn learner(number: u32) -> Learner {
    Learner::new(number, "s4", &[OBJECTS])
}

#[test]
fn what_runs_in_pods() {
    let learner = learner(210);
    // Each container plays its image: the sidecar on its port, the others on theirs.
    learner.works(
        "kubectl exec client -- curl -s pair:8080",
        &["Welcome to nginx!"],
    );
    learner.works(
        "kubectl exec pair -c tools -- wget -qO- 127.0.0.1:9000",
        &["pair"],
    );
    learner.works("kubectl get pod pair", &["pair   3/3     Running   0"]);
    learner.works("kubectl logs pair -c side --tail 1", &["GET / "]);
    learner.works("kubectl logs pair -c app --tail=1", &["GET / "]);
    learner.fails(
        "kubectl logs pair -c nosuch",
        &["no container nosuch; there are: side, app, tools"],
    );
    for (tool, of) in [
        ("-c tools", "BusyBox"),
        ("-c app", "usage: nc [-46"),
        ("--machine -c tools", "usage: nc [-46"),
    ] {
        let said = learner
            .bash(&format!("kubectl exec pair {tool} -- nc --help"))
            .output()
            .expect("nc");
        assert!(super::both(&said).contains(of), "{tool}: {said:?}");
    }

    // Nobody listens in a pod that says no port, until a service asks for one.
    learner.fails("kubectl exec client -- curl -s -m 2 $(kubectl get pod silent -o jsonpath={.status.podIP}):8000", &[]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: { name: silent }\nspec: { selector: { app: silent }, ports: [{ port: 80, targetPort: 8000 }] }\n";
    learner.file("silent.yaml", service);
    learner.works(
        "kubectl apply -f silent.yaml && kubectl exec client -- curl -s silent",
        &["silent"],
    );
    learner.file("silent.yaml", &service.replace("8000", "8001"));
    learner.works(
        "kubectl apply -f silent.yaml && kubectl exec client -- curl -s silent",
        &["silent"],
    );

    // An ExternalName is an alias in the DNS.
    learner.works(
        "kubectl get svc google",
        &["google   ExternalName   <none>       www.google.com   <none>"],
    );
    learner.works(
        "kubectl exec client -- nslookup google.default.svc.cluster.local",
        &["canonical name = www.google.com", "198.51.100.68"],
    );
    learner.works(
        "kubectl exec client -- curl -4 -s -m 5 google",
        &["client: "],
    );
}

#[test]
fn what_is_shown() {
    let learner = learner(211);
    learner.works(
        "kubectl get all",
        &["pod/client   1/1", "\n\nNAME", "service/google"],
    );
    learner.works(
        "kubectl get po,svc -A",
        &[
            "NAMESPACE     NAME",
            "kube-system   pod/coredns-",
            "default       service/pair",
        ],
    );
    learner.works(
        "kubectl get pods -l app=client --show-labels --no-headers",
        &["app=client"],
    );
    learner.works(
        "kubectl get svc pair -o yaml",
        &["  clusterIP: 10.96.", "kind: Service\n", "uid: "],
    );
    learner.works(
        "kubectl get pod client -o json | jq -r .status.phase",
        &["Running\n"],
    );
    learner.works(
        "kubectl get po -o go-template='{{range .items}}{{.metadata.name}} {{end}}'",
        &["client pair silent "],
    );
    learner.works(
        "kubectl get deploy -n kube-system -o name",
        &["deployment.apps/coredns\n"],
    );
    learner.works(
        "kubectl describe pod pair",
        &[
            "Init Containers:\n  side:\n",
            "Image:      nginx",
            "Ports:      9000\n",
        ],
    );
    learner.works(
        "kubectl describe svc pair",
        &["Port:           <unset>  8080/TCP\nTargetPort:     web/TCP\nEndpoints:      10.244."],
    );
    learner.works("kubectl describe netpol p", &["PodSelector:     app=nobody\n  Allowing ingress traffic:\n    <none> (selected pods are isolated for ingress)\n  Not affecting egress traffic\n"]);
    learner.works(
        "kubectl logs -n kube-system deploy/coredns --tail 0 && kubectl --help",
        &["port-forward", "rollout"],
    );
    learner.works(
        "kubectl rollout status deploy/coredns -n kube-system",
        &["deployment \"coredns\" successfully rolled out\n"],
    );
}

/// While another command makes them, as a learner with two terminals sees it.
#[test]
fn a_rollout_is_waited_for() {
    let learner = learner(213);
    learner.file(
        "many.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: many }\nspec:\n  replicas: 12\n  \
         selector: { matchLabels: { app: many } }\n  template:\n    metadata: { labels: { app: many } }\n    \
         spec: { containers: [{ name: web, image: nginx }] }\n",
    );
    learner.works(
        "kubectl apply -f many.yaml > applied.log & \
         until kubectl get deploy many 2>/dev/null; do sleep 0.02; done; \
         kubectl rollout status deploy/many && kubectl get deploy many && wait",
        &[
            "deployment \"many\" successfully rolled out\n",
            "many   12/12   12           12",
        ],
    );
    learner.fails(
        "kubectl rollout status deploy/many --timeout=soon",
        &["\"soon\" is no duration"],
    );
}

#[test]
fn what_is_refused() {
    let learner = learner(212);
    learner.fails(
        "kubectl label ns nosuch a=b",
        &["Error from server (NotFound): namespaces \"nosuch\" not found\n"],
    );
    learner.works(
        "kubectl label ns default a=b",
        &["namespace/default labeled\n"],
    );
    learner.fails(
        "kubectl get pod nosuch",
        &["Error from server (NotFound): pods \"nosuch\" not found\n"],
    );
    learner.fails(
        "kubectl get pods -o custom-columns=A:.b",
        &["error: -o custom-columns=A:.b: use wide, yaml"],
    );
    learner.fails(
        "kubectl get pod client -o jsonpath={.nosuch}",
        &["is not found"],
    );
    learner.fails("kubectl get nosuch", &["there is no kind \"nosuch\""]);
    learner.fails(
        "kubectl create deployment x --image=nginx",
        &["unexpected argument '--image'"],
    );
    learner.fails(
        "kubectl create deployment x",
        &["`create` makes a namespace"],
    );
    learner.fails(
        "kubectl rollout status pod/client",
        &["has no pods that are rolled out"],
    );
    learner.fails("kubectl logs client --tail=-5", &["--tail -5"]);
    learner.fails(
        "kubectl debug node/nosuch -it --image=x",
        &["nodes \"nosuch\" not found"],
    );
    learner.fails(
        "kubectl port-forward svc/pair 1:2",
        &["service pair has no port 2"],
    );

    let edit = |editor: &str| format!("EDITOR=\"{editor}\" kubectl edit netpol p");
    learner.works(&edit("true"), &["Edit cancelled, no changes made.\n"]);
    learner.fails(&edit("false"), &["the editor \"false\" ended with"]);
    let said = learner.fails(
        &edit("sed -i s/matchLabels:/matchLabels:[/"),
        &["what was saved stays in /", "what was saved:"],
    );
    let kept = said
        .split("stays in ")
        .nth(1)
        .and_then(|rest| rest.split(": ").next())
        .expect("a path");
    assert!(
        fs::read_to_string(kept)
            .expect("what was saved")
            .contains("matchLabels:[")
    );
    fs::remove_file(kept).expect("our file");
    let said = learner.fails(&edit("sed -i s/podSelector:/podSelektor:/"), &["spec"]);
    for wrong in [
        "sed -i s/name:.p/name:\\ q/",
        "sed -i s/^kind:.*/kind:\\ Pod/",
    ] {
        learner.fails(&edit(wrong), &["it cannot be changed"]);
    }
    for path in said
        .split("stays in ")
        .skip(1)
        .filter_map(|rest| rest.split(": ").next())
    {
        fs::remove_file(path).expect("our file");
    }
    learner.works("kubectl get netpol p -o yaml", &["app: nobody\n"]);
    learner.works(
        &edit("sed -i s/nobody/client/"),
        &["networkpolicy.networking.k8s.io/p edited\n"],
    );
    learner.fails("kubectl edit pod nosuch", &["pods \"nosuch\" not found"]);
}
