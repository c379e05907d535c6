#include "services/config/transport/ssh_connector.h"

#include <fcntl.h>
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/config/transport/tcp.h"

namespace yagura::config {
namespace {

// Without an answer for so long, a connection counts as lost.
constexpr std::chrono::milliseconds kDeadAfter{15'000};
constexpr std::chrono::milliseconds kLookUp{50};
constexpr size_t kMaxErrorBytes = 64u << 10;
constexpr size_t kChunk = 32u << 10;

struct FreeKey {
  void operator()(ssh_key key) const { ssh_key_free(key); }
};
using Key = std::unique_ptr<ssh_key_struct, FreeKey>;

struct FreeText {
  void operator()(char* text) const { ssh_string_free_char(text); }
};
using Text = std::unique_ptr<char, FreeText>;

Status Cancelled() {
  return MakeError(absl::StatusCode::kCancelled, "CANCELLED", "stopped while talking to a device");
}

Status TimedOut(std::string_view what) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, "DEVICE_TIMEOUT",
                   fmt::format("the device took too long: {}", what));
}

Status Refused(std::string_view reason, std::string_view message,
               const ErrorMetadata& metadata = {}) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason, message, metadata);
}

// The private key, or nothing. The empty passphrase keeps OpenSSL from asking on the terminal.
Key ImportPrivateKey(const std::string& text) {
  ssh_key key = nullptr;
  if (ssh_pki_import_privkey_base64(text.c_str(), "", nullptr, nullptr, &key) != SSH_OK) {
    return nullptr;
  }
  return Key(key);
}

// A libssh session over a socket of ours. libssh closes the socket when the peer goes, after which
// its number may be somebody else's: it is shut down by another number that stays ours.
class Link {
 public:
  explicit Link(int fd) : fd_(fd), own_fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)), session_(ssh_new()) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() {
    // Closing says goodbye, which must not wait for a peer that is gone.
    if (broken_) ShutDown();
    if (handed_over_) {
      ssh_disconnect(session_);
    } else {
      close(fd_);
    }
    ssh_free(session_);
    if (own_fd_ >= 0) close(own_fd_);
  }

  ssh_session get() const { return session_; }
  int fd() const { return fd_; }
  void HandOver() { handed_over_ = true; }
  void MarkBroken() { broken_ = true; }
  // Ends whatever waits for the peer. From any thread.
  void ShutDown() const { shutdown(own_fd_, SHUT_RDWR); }
  std::string LastError() const { return ToValidUtf8(ssh_get_error(session_)); }
  Status Unreachable() const {
    const std::string error = LastError();
    return Unavailable("DEVICE_UNREACHABLE", error.empty() ? "the connection was lost" : error);
  }

 private:
  const int fd_;
  const int own_fd_;
  ssh_session session_;
  bool handed_over_ = false;
  bool broken_ = false;
};

Status SetOptions(Link& link, const DeviceTarget& target, const Patience& patience) {
  const bool process_config = false;
  const int fd = link.fd();
  const auto left = std::clamp(patience.Left(), std::chrono::milliseconds(1), kDeadAfter);
  const long seconds = left.count() / 1000;
  const long microseconds = left.count() % 1000 * 1000;
  ssh_session session = link.get();
  const bool set =
      ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &process_config) == SSH_OK &&
      ssh_options_set(session, SSH_OPTIONS_HOST, target.address.c_str()) == SSH_OK &&
      ssh_options_set(session, SSH_OPTIONS_USER, target.user_name.c_str()) == SSH_OK &&
      ssh_options_set(session, SSH_OPTIONS_TIMEOUT, &seconds) == SSH_OK &&
      ssh_options_set(session, SSH_OPTIONS_TIMEOUT_USEC, &microseconds) == SSH_OK &&
      ssh_options_set(session, SSH_OPTIONS_FD, &fd) == SSH_OK;
  if (!set) return Refused("CREDENTIAL_INVALID", "address or user name cannot be used");
  return absl::OkStatus();
}

StatusOr<std::string> SeenFingerprint(const Link& link) {
  ssh_key raw = nullptr;
  if (ssh_get_server_publickey(link.get(), &raw) != SSH_OK) return link.Unreachable();
  const Key key(raw);
  unsigned char* hash = nullptr;
  size_t size = 0;
  if (ssh_get_publickey_hash(key.get(), SSH_PUBLICKEY_HASH_SHA256, &hash, &size) != SSH_OK) {
    return link.Unreachable();
  }
  const Text text(ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size));
  ssh_clean_pubkey_hash(&hash);
  return std::string(text.get());
}

Status CheckHostKey(const DeviceTarget& target, const std::string& seen) {
  const auto& known = target.host_key_fingerprints;
  if (known.empty()) {
    if (target.trust_on_first_use) return absl::OkStatus();
    return Refused("HOST_KEY_UNKNOWN",
                   fmt::format("no host key is pinned; the device shows {}", seen),
                   {{"fingerprint", seen}});
  }
  if (std::find(known.begin(), known.end(), seen) == known.end()) {
    return Refused("HOST_KEY_MISMATCH",
                   fmt::format("the device shows {}, which is not pinned", seen),
                   {{"fingerprint", seen}});
  }
  return absl::OkStatus();
}

// Devices that offer passwords only as a dialogue with one hidden question.
int AnswerQuestions(ssh_session session, const std::string& password) {
  int code = ssh_userauth_kbdint(session, nullptr, nullptr);
  for (int round = 0; code == SSH_AUTH_INFO && round < 3; ++round) {
    const int questions = ssh_userauth_kbdint_getnprompts(session);
    for (int i = 0; i < questions; ++i) {
      ssh_userauth_kbdint_setanswer(session, static_cast<unsigned>(i), password.c_str());
    }
    code = ssh_userauth_kbdint(session, nullptr, nullptr);
  }
  return code;
}

Status LogIn(const Link& link, const DeviceTarget& target) {
  int code = SSH_AUTH_ERROR;
  if (!target.private_key.empty()) {
    const Key key = ImportPrivateKey(target.private_key);
    if (!key) return Refused("CREDENTIAL_INVALID", "the private key cannot be read");
    code = ssh_userauth_publickey(link.get(), nullptr, key.get());
  } else {
    code = ssh_userauth_password(link.get(), nullptr, target.password.c_str());
    if (code == SSH_AUTH_DENIED &&
        (ssh_userauth_list(link.get(), nullptr) & SSH_AUTH_METHOD_INTERACTIVE) != 0) {
      code = AnswerQuestions(link.get(), target.password);
    }
  }
  if (code == SSH_AUTH_SUCCESS) return absl::OkStatus();
  if (code == SSH_AUTH_ERROR || code == SSH_AUTH_AGAIN) return link.Unreachable();
  return Refused("LOGIN_REFUSED",
                 fmt::format("the device refuses the credential of {}", target.user_name));
}

// One command. Collects its output and its exit status.
class Command {
 public:
  Command(Link& link, const ExecRequest& request, const Patience& patience)
      : link_(link), request_(request), patience_(patience), channel_(ssh_channel_new(link.get())) {
    callbacks_.userdata = this;
    callbacks_.channel_exit_status_function = [](ssh_session, ssh_channel, int status, void* self) {
      static_cast<Command*>(self)->result_.exit_status = status;
      static_cast<Command*>(self)->has_exited_ = true;
    };
    callbacks_.channel_exit_signal_function = [](ssh_session, ssh_channel, const char*, int,
                                                 const char*, const char*, void* self) {
      static_cast<Command*>(self)->result_.exit_status = 255;
      static_cast<Command*>(self)->has_exited_ = true;
    };
    ssh_callbacks_init(&callbacks_);
    ssh_set_channel_callbacks(channel_, &callbacks_);
    ssh_event_add_session(event_, link_.get());
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() {
    ssh_event_remove_session(event_, link_.get());
    ssh_event_free(event_);
    ssh_remove_channel_callbacks(channel_, &callbacks_);
    ssh_channel_free(channel_);
  }

  StatusOr<ExecResult> Run() {
    if (ssh_channel_open_session(channel_) != SSH_OK ||
        ssh_channel_request_exec(channel_, request_.command.c_str()) != SSH_OK) {
      return Failed();
    }
    YAGURA_RETURN_IF_ERROR(SendInput());
    while (true) {
      YAGURA_RETURN_IF_ERROR(CheckPatience());
      YAGURA_RETURN_IF_ERROR(Drain());
      const bool ended = ssh_channel_is_eof(channel_) != 0 || ssh_channel_is_closed(channel_) != 0;
      if (ended && has_exited_) return std::move(result_);
      if (ssh_channel_is_closed(channel_) != 0 || ssh_is_connected(link_.get()) == 0) {
        return Failed();
      }
      YAGURA_RETURN_IF_ERROR(WaitForPackets());
    }
  }

 private:
  Status Failed() const {
    if (patience_.stop.stop_requested()) return Cancelled();
    return link_.Unreachable();
  }

  Status CheckPatience() const {
    if (patience_.stop.stop_requested()) return Cancelled();
    if (patience_.Left().count() == 0) return TimedOut("running a command");
    return absl::OkStatus();
  }

  Status SendInput() {
    std::string_view rest = request_.input;
    while (!rest.empty()) {
      YAGURA_RETURN_IF_ERROR(CheckPatience());
      const auto size = static_cast<uint32_t>(std::min(rest.size(), kChunk));
      const int sent = ssh_channel_write(channel_, rest.data(), size);
      // A command that ends without reading its input is not an error of the link.
      if (sent == SSH_ERROR && (ssh_channel_is_closed(channel_) != 0 || has_exited_)) break;
      if (sent <= 0) return Failed();
      rest.remove_prefix(static_cast<size_t>(sent));
    }
    if (ssh_channel_send_eof(channel_) != SSH_OK && ssh_channel_is_closed(channel_) == 0) {
      return Failed();
    }
    return absl::OkStatus();
  }

  // Waits a little for packets of any kind (the exit status comes after the end of the output).
  Status WaitForPackets() {
    const auto wait = std::clamp(patience_.Left(), std::chrono::milliseconds(1), kLookUp);
    if (ssh_event_dopoll(event_, static_cast<int>(wait.count())) == SSH_ERROR) return Failed();
    return absl::OkStatus();
  }

  Status Drain() {
    char buffer[16384];
    int got = 0;
    while ((got = ssh_channel_read_nonblocking(channel_, buffer, sizeof(buffer), 0)) > 0) {
      if (result_.output.size() + static_cast<size_t>(got) > request_.max_output) {
        return MakeError(absl::StatusCode::kResourceExhausted, "DEVICE_OUTPUT_TOO_LARGE",
                         fmt::format("the device sent more than {} bytes", request_.max_output));
      }
      result_.output.append(buffer, static_cast<size_t>(got));
    }
    if (got == SSH_ERROR && ssh_channel_is_eof(channel_) == 0) return Failed();
    while ((got = ssh_channel_read_nonblocking(channel_, buffer, sizeof(buffer), 1)) > 0) {
      const size_t room = kMaxErrorBytes - std::min(kMaxErrorBytes, result_.errors.size());
      result_.errors.append(buffer, std::min(room, static_cast<size_t>(got)));
    }
    return absl::OkStatus();
  }

  Link& link_;
  const ExecRequest& request_;
  const Patience& patience_;
  ssh_channel channel_;
  ssh_event event_ = ssh_event_new();
  ssh_channel_callbacks_struct callbacks_ = {};
  ExecResult result_;
  bool has_exited_ = false;
};

class SshSession final : public DeviceSession {
 public:
  SshSession(std::unique_ptr<Link> link, std::string fingerprint)
      : link_(std::move(link)), fingerprint_(std::move(fingerprint)) {}

  StatusOr<ExecResult> Exec(const ExecRequest& request, const Patience& patience) override {
    // Ends a wait inside libssh at once.
    const std::stop_callback stopper(patience.stop, [this] { link_->ShutDown(); });
    if (patience.stop.stop_requested()) return Cancelled();
    StatusOr<ExecResult> result = Command(*link_, request, patience).Run();
    if (!result.ok()) link_->MarkBroken();
    return result;
  }

  const std::string& host_key_fingerprint() const override { return fingerprint_; }

 private:
  std::unique_ptr<Link> link_;
  std::string fingerprint_;
};

class SshConnector final : public DeviceConnector {
 public:
  StatusOr<std::unique_ptr<DeviceSession>> Connect(const DeviceTarget& target,
                                                   const Patience& patience) override {
    YAGURA_ASSIGN_OR_RETURN(const int fd,
                            OpenTcp(target.address, target.port, patience, kDeadAfter));
    auto link = std::make_unique<Link>(fd);
    StatusOr<std::string> fingerprint = ShakeHands(*link, target, patience);
    if (!fingerprint.ok()) {
      link->MarkBroken();
      if (patience.stop.stop_requested()) return Cancelled();
      if (patience.Left().count() == 0) return TimedOut("logging in");
      return fingerprint.status();
    }
    return std::make_unique<SshSession>(std::move(link), std::move(*fingerprint));
  }

 private:
  static StatusOr<std::string> ShakeHands(Link& link, const DeviceTarget& target,
                                          const Patience& patience) {
    const std::stop_callback stopper(patience.stop, [&link] { link.ShutDown(); });
    YAGURA_RETURN_IF_ERROR(SetOptions(link, target, patience));
    link.HandOver();
    if (ssh_connect(link.get()) != SSH_OK) return link.Unreachable();
    YAGURA_ASSIGN_OR_RETURN(std::string fingerprint, SeenFingerprint(link));
    YAGURA_RETURN_IF_ERROR(CheckHostKey(target, fingerprint));
    YAGURA_RETURN_IF_ERROR(LogIn(link, target));
    return fingerprint;
  }
};

}  // namespace

std::unique_ptr<DeviceConnector> NewSshConnector() { return std::make_unique<SshConnector>(); }

StatusOr<std::string> PublicKeyOf(const std::string& private_key) {
  const Key key = ImportPrivateKey(private_key);
  if (!key) {
    return InvalidField("secret.private_key", "is not an unencrypted private key");
  }
  ssh_key raw = nullptr;
  if (ssh_pki_export_privkey_to_pubkey(key.get(), &raw) != SSH_OK) {
    return InvalidField("secret.private_key", "has no public half");
  }
  const Key public_key(raw);
  char* base64 = nullptr;
  if (ssh_pki_export_pubkey_base64(public_key.get(), &base64) != SSH_OK) {
    return InvalidField("secret.private_key", "has no public half");
  }
  const Text text(base64);
  return fmt::format("{} {}", ssh_key_type_to_char(ssh_key_type(public_key.get())), text.get());
}

}  // namespace yagura::config
