package deploy

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type container struct {
	Name, Image   string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	Ports         []struct {
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe    probe `yaml:"startupProbe"`
	LivenessProbe   probe `yaml:"livenessProbe"`
	ReadinessProbe  probe `yaml:"readinessProbe"`
	Resources       struct{ Requests, Limits map[string]string }
	SecurityContext map[string]any `yaml:"securityContext"`
	VolumeMounts    []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		SubPath   string `yaml:"subPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type object struct {
	Kind string
	Data map[string]string
	Spec struct {
		Template struct {
			Spec struct {
				GraceSeconds   int         `yaml:"terminationGracePeriodSeconds"`
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
				Volumes        []struct{ Name string }
			}
		}
		Claims []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

// The sidecar is a native one, is probed where it serves, and mounts what there is.
func TestSidecar(t *testing.T) {
	objects := map[string]object{}
	for d := yaml.NewDecoder(strings.NewReader(read(t, "kubernetes", "sidecar.yaml"))); ; {
		var o object
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
	pod, volumes := objects["StatefulSet"].Spec.Template.Spec, map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	for _, c := range objects["StatefulSet"].Spec.Claims {
		volumes[c.Metadata.Name] = true
	}
	for _, c := range append(pod.InitContainers, pod.Containers...) {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] || m.SubPath != "" {
				t.Errorf("%s mounts %s, of %v, below %q", c.Name, m.Name, volumes, m.SubPath)
			}
		}
	}
	if len(pod.InitContainers) != 2 || pod.GraceSeconds < 30 {
		t.Fatalf("%d containers begin, with %d s to end", len(pod.InitContainers), pod.GraceSeconds)
	}
	c, config := pod.InitContainers[1], objects["ConfigMap"].Data["recoverd.yaml"]
	if c.Name != "recoverd" || c.RestartPolicy != "Always" || strings.Join(c.Args, " ") != "run --config /etc/recoverd/recoverd.yaml" {
		t.Errorf("the sidecar is %s, restarted %s, with %v", c.Name, c.RestartPolicy, c.Args)
	}
	if len(c.Ports) != 1 || c.Ports[0].ContainerPort != 7071 || !strings.Contains(config, "metrics-listen: 0.0.0.0:7071\n") {
		t.Errorf("it listens at %v, with\n%s", c.Ports, config)
	}
	for path, p := range map[string]probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p.HTTPGet.Path != path || p.HTTPGet.Port != "metrics" || c.StartupProbe.HTTPGet.Path != "/livez" {
			t.Errorf("a probe asks %v, want %s", p.HTTPGet, path)
		}
	}
	if c.SecurityContext["readOnlyRootFilesystem"] != true || c.SecurityContext["allowPrivilegeEscalation"] != false || c.Resources.Limits["memory"] == "" {
		t.Errorf("it may do too much: %v, %v", c.SecurityContext, c.Resources)
	}
}
