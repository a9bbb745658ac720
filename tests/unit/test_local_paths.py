"""Every system's paths, on any system."""

import pytest

from dirjobs.backends.posix.paths import (
    extended,
    mount_of,
    network_file_system,
    path_of_url,
    spelled,
)
from dirjobs.errors import ConfigurationError

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
30 22 0:40 / /mnt/nas rw - cifs //nas/share rw
31 22 0:41 / /mnt/cloud\040drive rw - fuse.davfs2 https://cloud rw
32 22 0:42 / /home rw master:1 - nfs4 server:/home rw
33 32 8:2 / /home/local rw - xfs /dev/sdb1 rw
34 22 8:3 / /media/stick rw - vfat /dev/sdc1 rw
35 22 8:4 / /media/ntfs rw - fuse.ntfs-3g /dev/sdd1 rw
36 22 0:50 / /over rw - nfs server:/x rw
37 22 0:51 / /over rw - tmpfs tmpfs rw
nonsense
"""


@pytest.mark.parametrize(
    ("url", "windows", "path"),
    [
        ("jobs/", False, "jobs/"),
        ("a%20b", False, "a%20b"),
        ("C:/jobs", True, "C:/jobs"),
        ("file:///srv/jobs", False, "/srv/jobs"),
        ("FILE:///srv/jobs", False, "/srv/jobs"),
        ("file://localhost/srv/jobs/", False, "/srv/jobs/"),
        ("file:///a%20b%23%2541", False, "/a b#%41"),
        ("file:///%C3%BC", False, "/ü"),
        ("file:///%FF", False, "/\udcff"),
        ("file:///C:/jobs", True, "C:/jobs"),
        ("file:///c|/jobs", True, "c:/jobs"),
        ("file:///C:", True, "C:/"),
        ("file://nas/share/a%20b", True, "\\\\nas\\share\\a b"),
        ("file:///", False, "/"),
    ],
)
def test_path_of_url(url, windows, path):
    assert path_of_url(url, windows=windows) == path


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("file://nas/share", "this machine only"),
        ("file://me:hunter2@nas/share", "this machine only"),
        ("file:///a?b", "%3F"),
        ("file:///a#b", "%23"),
        ("file:///a%00b", "NUL"),
        ("file://", "three slashes"),
        ("file://jobs", "three slashes"),
    ],
)
def test_a_url_that_is_no_local_path(url, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        path_of_url(url, windows=False)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("root", "windows", "spelling"),
    [
        ("jobs/", False, "jobs/01_running/w1.job1.txt"),
        ("jobs", False, "jobs/01_running/w1.job1.txt"),
        ("./jobs//", False, "./jobs//01_running/w1.job1.txt"),
        ("/", False, "/01_running/w1.job1.txt"),
        ("jobs", True, "jobs\\01_running\\w1.job1.txt"),
        ("jobs/", True, "jobs/01_running/w1.job1.txt"),
        ("C:\\jobs", True, "C:\\jobs\\01_running\\w1.job1.txt"),
        ("C:/jobs", True, "C:/jobs/01_running/w1.job1.txt"),
        ("\\\\nas\\share\\", True, "\\\\nas\\share\\01_running\\w1.job1.txt"),
    ],
)
def test_the_user_s_spelling_is_kept(root, windows, spelling):
    assert spelled(root, "01_running/w1.job1.txt", windows=windows) == spelling
    assert spelled(root, "", windows=windows) == root


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("C:\\jobs", "\\\\?\\C:\\jobs"),
        ("C:/jobs/x", "\\\\?\\C:\\jobs\\x"),
        ("\\\\nas\\share\\jobs", "\\\\?\\UNC\\nas\\share\\jobs"),
        ("\\\\?\\C:\\jobs", "\\\\?\\C:\\jobs"),
        ("\\\\.\\pipe\\x", "\\\\.\\pipe\\x"),
    ],
)
def test_windows_paths_of_any_length(path, long):
    assert extended(path) == long


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/jobs", None),
        ("/mnt/nas", "cifs"),
        ("/mnt/nas/jobs", "cifs"),
        ("/mnt/nas2", None),
        ("/mnt/cloud drive/jobs", "fuse.davfs2"),
        ("/home/me/jobs", "nfs4"),
        ("/home/local/jobs", None),
        ("/media/ntfs/jobs", None),
        ("/over/jobs", None),
        ("/", None),
    ],
)
def test_network_file_systems_are_known_by_their_mount(path, kind):
    assert network_file_system(path, MOUNTS) == kind


def test_without_mountinfo_nothing_is_known():
    assert mount_of("/srv", "") is None
    assert network_file_system("/srv", "") is None
