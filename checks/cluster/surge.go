// Part of the test cluster's build of Kubernetes 1.20 (bridge.py): rolling updates of DaemonSets with
// `maxSurge`, which Kubernetes has since 1.22.

package daemon

import (
	"sort"

	apps "k8s.io/api/apps/v1"
	"k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	intstrutil "k8s.io/apimachinery/pkg/util/intstr"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// surges tells whether the new pod of a node starts beside the old one.
func surges(ds *apps.DaemonSet) bool {
	update := ds.Spec.UpdateStrategy.RollingUpdate
	if update == nil || update.MaxSurge == nil {
		return false
	}
	value, err := intstrutil.GetScaledValueFromIntOrPercent(update.MaxSurge, 100, true)
	return err == nil && value > 0
}

// surge starts new pods beside old ones, and ends an old pod once the new one of its node is available.
func (dsc *DaemonSetsController) surge(ds *apps.DaemonSet, nodeList []*v1.Node, pods map[string][]*v1.Pod, hash string) error {
	most, err := intstrutil.GetScaledValueFromIntOrPercent(ds.Spec.UpdateStrategy.RollingUpdate.MaxSurge, len(nodeList), true)
	if err != nil {
		return err
	}
	var start, wait, end []string
	surging := 0
	for _, node := range nodeList {
		var fresh, old []*v1.Pod
		for _, pod := range pods[node.Name] {
			switch {
			case pod.DeletionTimestamp != nil || pod.Status.Phase == v1.PodFailed:
			case pod.Labels[apps.DefaultDaemonSetUniqueLabelKey] == hash:
				fresh = append(fresh, pod)
			default:
				old = append(old, pod)
			}
		}
		sort.Sort(podByCreationTimestampAndPhase(fresh))
		sort.Sort(podByCreationTimestampAndPhase(old))
		keep := 1
		switch {
		case len(fresh) == 0 && len(old) == 0:
			continue
		case len(fresh) == 0 && !available(ds, old[0]):
			start = append(start, node.Name)
		case len(fresh) == 0:
			wait = append(wait, node.Name)
		case available(ds, fresh[0]):
			keep = 0
		default:
			if len(old) > 0 {
				surging++
			}
		}
		for i, pod := range old {
			if i >= keep {
				end = append(end, pod.Name)
			}
		}
		for i, pod := range fresh {
			if i >= 1 {
				end = append(end, pod.Name)
			}
		}
	}
	for _, name := range wait {
		if surging < most {
			start = append(start, name)
			surging++
		}
	}
	return dsc.syncNodes(ds, end, start, hash)
}

func available(ds *apps.DaemonSet, pod *v1.Pod) bool {
	return podutil.IsPodAvailable(pod, ds.Spec.MinReadySeconds, metav1.Now())
}
