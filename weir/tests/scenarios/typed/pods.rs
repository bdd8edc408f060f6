//! Text 0: two busybox pods and three tiers.

use super::Learner;

const BUSYBOXES: &str = "
apiVersion: v1
kind: Pod
metadata: { name: bb1, labels: { app: bb1 } }
spec: { containers: [{ name: busybox, image: busybox, command: [sleep, '3600'] }] }
---
apiVersion: v1
kind: Pod
metadata: { name: bb2, labels: { app: bb2 } }
spec: { containers: [{ name: busybox, image: busybox, command: [sleep, '3600'] }] }
";

const VOLUMES: &str = "
apiVersion: v1
kind: PersistentVolume
metadata: { name: mysqldb-pv, labels: { type: local } }
spec: { storageClassName: manual, capacity: { storage: 10Gi }, accessModes: [ReadWriteOnce], hostPath: { path: /mnt/pv } }
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: mysqldb-pvc }
spec: { storageClassName: manual, accessModes: [ReadWriteOnce], resources: { requests: { storage: 10Gi } } }
";

#[test]
fn two_pods_and_three_tiers() {
    let mut learner = Learner::new(200, "s0", &[BUSYBOXES]);
    learner.file("02-mysqldb-pv.yaml", VOLUMES);

    let listener = learner.goes_on("kubectl -i -t exec bb1 -- nc -vlkp 8888 -e /bin/sh");
    listener.says("listening on [::]:8888 ...");
    learner.export(
        "export bb1_ip=$(kubectl get pod bb1 -o go-template --template '{{.status.podIP}}')",
    );
    let ip = learner.works("echo $bb1_ip", &["10.244."]);
    let open = format!("{0} ({0}:8888) open", ip.trim());
    learner.works(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 $bb1_ip 8888",
        &[&open],
    );
    let bb2 = learner.lab().pod("bb2").expect("bb2").addresses[0];
    listener.says(&format!(
        "connect to [::ffff:{}]:8888 from [::ffff:{bb2}]:",
        ip.trim()
    ));
    // The shell behind -e answers who connects.
    learner.works(
        "echo hostname | kubectl -i exec bb2 -- nc -w 2 $bb1_ip 8888",
        &["bb1"],
    );
    learner.fails(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 bb1:8888",
        &["nc: bad address 'bb1"],
    );
    learner.fails(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 bb1 8888",
        &["nc: bad address 'bb1'"],
    );

    learner.works(
        "kubectl apply -f 01-bb-services-none-ClusterIP.yaml",
        &["service/bb1 created\n", "service/bb2 created\n"],
    );
    let open = format!("bb1 ({}:8888) open", ip.trim());
    learner.works("kubectl -i -t exec bb2 -- nc -znv -w 2 bb1 8888", &[&open]);

    learner.works(
        "kubectl apply -f 02-mysqldb-pv.yaml",
        &[
            "persistentvolume/mysqldb-pv created\n",
            "persistentvolumeclaim/mysqldb-pvc created\n",
        ],
    );
    learner.works(
        "kubectl apply -f 03-mysqldb-deployment.yaml",
        &[
            "service/mysqldb created\n",
            "deployment.apps/mysqldb created\n",
        ],
    );
    learner.works(
        "kubectl apply -f 05-flaskback-deployment.yaml ",
        &[
            "deployment.apps/flaskback created\n",
            "service/flaskback created\n",
        ],
    );
    learner.works(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 mysqldb 3306",
        &["mysqldb (", ":3306) open"],
    );

    learner.works(
        "kubectl apply -f 06-mysqldb-network-policy.yaml",
        &["networkpolicy.networking.k8s.io/mysqldb created\n"],
    );
    learner.fails(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 mysqldb 3306",
        &["nc: mysqldb (", ":3306): Connection timed out"],
    );
    learner.works(
        "kubectl run -it --rm --image=busybox --restart=Never bb-client -- wget -qO- -T 5 flaskback:5000/blogs",
        &["K8s is fun", "Network Policy", "pod \"bb-client\" deleted\n"],
    );

    learner.works(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 www.google.com 80",
        &["www.google.com (198.51.100.68:80) open"],
    );
    learner.works(
        "kubectl apply -f 07-default-deny-egress-network-policy.yaml ",
        &["networkpolicy.networking.k8s.io/default-deny-egress created\n"],
    );
    learner.fails(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 www.google.com 80",
        &["nc: bad address 'www.google.com'"],
    );
    learner.works(
        "kubectl apply -f 08-default-deny-egress-except-dns-network-policy.yaml",
        &["networkpolicy.networking.k8s.io/default-deny-except-dns-egress created\n"],
    );
    learner.fails(
        "kubectl -i -t exec bb2 -- nc -znv -w 2 www.google.com 80",
        &["nc: www.google.com (198.51.100.68:80): Connection timed out"],
    );
}
