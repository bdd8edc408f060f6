//! Text 2: a web server and clients of two namespaces.

use std::io::Write as _;
use std::process::Stdio;

use super::{Learner, both};

/// A line that opens a shell in a new pod, and what is typed there.
#[track_caller]
fn in_shell(learner: &Learner, line: &str, typed: &str, says: &str) {
    let mut bash = learner.bash(line);
    let mut child = bash
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir lab shell");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(typed.as_bytes()).expect("it reads");
    drop(input);
    let said = both(&child.wait_with_output().expect("its output"));
    assert!(
        said.contains(says),
        "$ {line}\n{typed}{said}\nlacks {says:?}"
    );
    assert!(said.contains("pod \"frontend\" deleted\n"), "{said}");
}

#[test]
fn clients_of_two_namespaces() {
    let learner = Learner::new(202, "s2", &[]);
    let welcome = "Welcome to nginx!";
    let late = "wget: download timed out";
    let labelled = "kubectl run --rm -it frontend --image=alpine --labels app=webapp,role=frontend --namespace";
    let plain = "kubectl run --rm -it --image=alpine frontend --namespace development";
    let get = "wget -qO- http://backend\n";
    let get_late = "wget -qO- --timeout=2 http://backend\n";

    learner.works(
        "kubectl create namespace development  ",
        &["namespace/development created\n"],
    );
    learner.works(
        "kubectl label namespace/development purpose=development  ",
        &["namespace/development labeled\n"],
    );
    learner.works(
        "kubectl run backend --image=nginx --labels app=webapp,role=backend --namespace development --expose --port 80 --generator=run-pod/v1  ",
        &["service/backend created\n", "pod/backend created\n"],
    );
    in_shell(
        &learner,
        &format!("{plain} --generator=run-pod/v1  "),
        get,
        welcome,
    );
    learner.works(
        "kubectl create -f 1-pod-alpine-test.yaml  ",
        &["pod/alpine created\n"],
    );
    learner.works(
        "kubectl exec alpine -n development -- wget -qO- http://backend  ",
        &[welcome],
    );

    learner.works(
        "kubectl apply -f 1-network-policy-deny-all.yaml  ",
        &["/backend-policy created\n"],
    );
    in_shell(
        &learner,
        &format!("{plain} --generator=run-pod/v1  "),
        get_late,
        late,
    );
    learner.fails(
        "kubectl exec alpine -n development -- wget -qO- --timeout=2 http://backend  ",
        &[late],
    );

    learner.works(
        "kubectl apply -f 2-network-policy-allow-pod.yaml",
        &["/backend-policy configured\n"],
    );
    in_shell(&learner, &format!("{labelled} development  "), get, welcome);
    in_shell(&learner, &format!("{plain} "), get_late, late);

    learner.works(
        "kubectl create namespace production  ",
        &["namespace/production created\n"],
    );
    learner.works(
        "kubectl label namespace/production purpose=production  ",
        &["labeled\n"],
    );
    in_shell(
        &learner,
        &format!("{labelled} production  "),
        "wget -qO- http://backend.development\n",
        welcome,
    );
    learner.works(
        "kubectl apply -f 3-network-policy-allow-pod-namespace.yaml  ",
        &["configured\n"],
    );
    in_shell(
        &learner,
        &format!("{labelled} production --generator=run-pod/v1  "),
        "wget -qO- --timeout=2 http://backend.development\n",
        late,
    );
    in_shell(
        &learner,
        &format!("{labelled} development --generator=run-pod/v1  "),
        get,
        welcome,
    );
    learner.fails(
        "kubectl create ns production",
        &["(AlreadyExists): namespaces \"production\" already exists"],
    );
}
