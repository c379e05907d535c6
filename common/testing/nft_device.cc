#include "common/testing/nft_device.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "fmt/format.h"

#include "common/testing/patience.h"

namespace yagura::testing {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "NftDevice: %s\n", why.c_str());
  std::abort();
}

std::string ReadAll(const fs::path& file) {
  std::ostringstream out;
  out << std::ifstream(file, std::ios::binary).rdbuf();
  return out.str();
}

void WriteAll(const fs::path& file, std::string_view text, fs::perms mode) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << text;
  fs::permissions(file, mode);
}

// Runs a program to its end; its output, standard error included.
std::pair<int, std::string> Run(const std::vector<std::string>& args, const fs::path& folder) {
  static std::atomic<int> counter{0};
  const fs::path log = folder / fmt::format("run-{}", counter++);
  Process process(args, log);
  const int code = process.Wait();
  std::string output = ReadAll(log);
  fs::remove(log);
  return {code, output};
}

std::string MustRun(const std::vector<std::string>& args, const fs::path& folder) {
  auto [code, output] = Run(args, folder);
  if (code != 0) Die(fmt::format("{} {} ...: exit {}: {}", args[0], args[1], code, output));
  return output;
}

bool CanConnect(const std::string& address, int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &target.sin_addr);
  // Non-blocking: poll tells how it went.
  (void)connect(fd, reinterpret_cast<sockaddr*>(&target), sizeof(target));
  pollfd waiting{fd, POLLOUT, 0};
  int error = 1;
  socklen_t size = sizeof(error);
  const bool open = poll(&waiting, 1, 200) == 1 &&
                    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
  close(fd);
  return open;
}

// Namespaces outlive a test program that was killed: those of programs that are gone go too.
void RemoveLeftOvers(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/run/netns", error)) {
    const std::string name = entry.path().filename().string();
    int owner = 0;
    if (std::sscanf(name.c_str(), "yagura-%d-", &owner) == 1 && kill(owner, 0) != 0 &&
        errno == ESRCH) {
      Run({"ip", "netns", "delete", name}, folder);
    }
  }
}

constexpr fs::perms kOwnerOnly = fs::perms::owner_read | fs::perms::owner_write;
constexpr fs::perms kWorldReadable = kOwnerOnly | fs::perms::group_read | fs::perms::others_read;

}  // namespace

std::string NftDevice::WhyUnavailable() {
  if (geteuid() != 0) return "a network namespace needs root";
  for (const char* program : {"/usr/sbin/nft", "/usr/sbin/sshd", "/usr/bin/unshare"}) {
    if (!fs::exists(program)) return fmt::format("{} is not installed", program);
  }
  const fs::path folder = MakeTemporaryFolder();
  const auto [code, output] =
      Run({"unshare", "--net", "--mount", "nft", "list", "ruleset"}, folder);
  fs::remove_all(folder);
  return code == 0 ? "" : "no nftables in a network namespace here: " + output;
}

NftDevice::NftDevice() : folder_(MakeTemporaryFolder()) {
  RemoveLeftOvers(folder_);
  MakeNetwork();
  MakeKeys();
  WriteSshdConfig();
  Boot();
}

NftDevice::~NftDevice() {
  sshd_.reset();
  Run({"ip", "netns", "delete", name_}, folder_);
  // The kernel takes a namespace apart in its own time; its link must not linger till then.
  Run({"ip", "link", "delete", host_link_}, folder_);
  fs::remove_all(folder_);
}

// A /30 of 198.18.0.0/15, which is set aside for tests of devices (RFC 2544), picked at random so
// that tests may run side by side.
void NftDevice::MakeNetwork() {
  std::random_device random;
  for (int attempt = 0; attempt < 50; ++attempt) {
    const uint32_t slot = random() % 32768;
    const uint32_t base = (198u << 24 | 18u << 16) + slot * 4;
    const auto text = [](uint32_t address) {
      return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                         address & 255);
    };
    name_ = fmt::format("yagura-{}-{}", getpid(), slot);
    host_link_ = fmt::format("ygh{}", slot);
    host_address_ = text(base + 1);
    device_address_ = text(base + 2);
    if (Run({"ip", "netns", "add", name_}, folder_).first != 0) continue;
    MustRun(
        {"ip", "link", "add", host_link_, "type", "veth", "peer", "name", "eth0", "netns", name_},
        folder_);
    MustRun({"ip", "address", "add", host_address_ + "/30", "dev", host_link_}, folder_);
    MustRun({"ip", "link", "set", host_link_, "up"}, folder_);
    MustRun({"ip", "-n", name_, "address", "add", device_address_ + "/30", "dev", "eth0"}, folder_);
    MustRun({"ip", "-n", name_, "link", "set", "lo", "up"}, folder_);
    MustRun({"ip", "-n", name_, "link", "set", "eth0", "up"}, folder_);
    return;
  }
  Die("no free network found");
}

void NftDevice::MakeKeys() {
  for (const char* file : {"host_key", "client_key"}) {
    MustRun({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f",
             (folder_ / file).string()},
            folder_);
  }
  fs::copy_file(folder_ / "client_key.pub", folder_ / "authorized_keys");
  private_key_ = ReadAll(folder_ / "client_key");
  const std::string line = MustRun(
      {"ssh-keygen", "-l", "-E", "sha256", "-f", (folder_ / "host_key.pub").string()}, folder_);
  const size_t begin = line.find("SHA256:");
  host_key_fingerprint_ = line.substr(begin, line.find(' ', begin) - begin);
  password_ = fmt::format("pw-{}-{}", std::random_device{}(), std::random_device{}());
}

void NftDevice::WriteSshdConfig() {
  const std::string folder = folder_.string();
  WriteAll(folder_ / "sshd_config",
           fmt::format("ListenAddress {0}:22\n"
                       "HostKey {1}/host_key\n"
                       "AuthorizedKeysFile {1}/authorized_keys\n"
                       "StrictModes no\nUsePAM no\nPermitRootLogin yes\n"
                       "PasswordAuthentication yes\nKbdInteractiveAuthentication no\n"
                       "UseDNS no\nPidFile none\nMaxStartups 200\nLoginGraceTime 20\n"
                       "PrintMotd no\nPrintLastLog no\nLogLevel INFO\n",
                       device_address_, folder),
           kOwnerOnly);
  const std::string hash = MustRun({"openssl", "passwd", "-6", password_}, folder_);
  WriteAll(folder_ / "shadow",
           fmt::format("root:{}:20000:0:99999:7:::\nsshd:!:20000::::::\n",
                       hash.substr(0, hash.find('\n'))),
           kOwnerOnly);
  WriteAll(folder_ / "boot.sh",
           fmt::format("set -e\n"
                       "mount -t tmpfs tmpfs /run\n"
                       "mkdir -p /run/sshd\n"
                       "mount --bind {0}/shadow /etc/shadow\n"
                       // What the machine's own root runs at log-in is no part of the device.
                       "mount -t tmpfs tmpfs \"$(getent passwd root | cut -d: -f6)\"\n"
                       "exec /usr/sbin/sshd -D -e -f {0}/sshd_config\n",
                       folder),
           kWorldReadable);
}

void NftDevice::Boot() {
  sshd_ = std::make_unique<Process>(
      std::vector<std::string>{"ip", "netns", "exec", name_, "unshare", "--mount", "--pid",
                               "--fork", "--kill-child", "--mount-proc", "sh",
                               (folder_ / "boot.sh").string()},
      folder_ / "sshd.log");
  const auto deadline = std::chrono::steady_clock::now() + Patient(std::chrono::seconds(20));
  while (!CanConnect(device_address_, port())) {
    if (sshd_->Poll() || std::chrono::steady_clock::now() > deadline) {
      Die("sshd does not come up: " + ReadAll(folder_ / "sshd.log"));
    }
    poll(nullptr, 0, 10);
  }
}

void NftDevice::Load(std::string_view ruleset) {
  const fs::path file = folder_ / "console.nft";
  WriteAll(file, ruleset, kOwnerOnly);
  Console({"nft", "-f", file.string()});
}

std::string NftDevice::Ruleset() const { return Console({"nft", "-s", "list", "ruleset"}); }

std::string NftDevice::Console(const std::vector<std::string>& args) const {
  // "unshare" is the first child; the device's own mounts and processes belong to its child.
  const std::string init = [&] {
    const std::string children = ReadAll(fmt::format("/proc/{0}/task/{0}/children", sshd_->pid()));
    return children.substr(0, children.find(' '));
  }();
  std::vector<std::string> all = {"nsenter", "--net", "--mount", "--pid", "--target", init};
  all.insert(all.end(), args.begin(), args.end());
  return MustRun(all, folder_);
}

void NftDevice::Reboot() {
  sshd_.reset();
  Run({"ip", "netns", "exec", name_, "nft", "flush", "ruleset"}, folder_);
  Boot();
}

void NftDevice::SetLink(bool up) {
  MustRun({"ip", "link", "set", host_link_, up ? "up" : "down"}, folder_);
}

}  // namespace yagura::testing
