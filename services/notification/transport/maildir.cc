#include "services/notification/transport/maildir.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"

namespace yagura::notification {
namespace {

namespace fs = std::filesystem;

class File {
 public:
  File(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool ok() const { return fd_ >= 0; }
  bool Write(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = ::write(fd_, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  bool Sync() const { return ::fsync(fd_) == 0; }

 private:
  int fd_;
};

class MaildirTransport : public MailTransport {
 public:
  explicit MaildirTransport(fs::path folder) : folder_(std::move(folder)) {}

  Outcome Send(const std::string& to, const std::string& message, const std::string& message_id,
               const std::stop_token& /*stop*/) override {
    const std::string name = Sha256Hex(message_id + "\n" + to).substr(0, 32) + ".yagura";
    if (IsThere(name)) return {v1::ACCEPTED, 0, fmt::format("in the maildir already as {}", name)};
    const fs::path draft = folder_ / "tmp" / name;
    const fs::path final_path = folder_ / "new" / name;
    {
      const File file(draft, O_WRONLY | O_CREAT | O_TRUNC);
      if (!file.ok() || !file.Write(message) || !file.Sync()) return Failed("write");
    }
    if (::rename(draft.c_str(), final_path.c_str()) != 0) return Failed("rename");
    if (const File folder(folder_ / "new", O_RDONLY | O_DIRECTORY);
        !folder.ok() || !folder.Sync()) {
      return Failed("sync");
    }
    return {v1::ACCEPTED, 0, fmt::format("in the maildir as {}", name)};
  }

 private:
  // In new/, or in cur/ under its name with flags behind a colon.
  bool IsThere(const std::string& name) const {
    std::error_code error;
    if (fs::exists(folder_ / "new" / name, error)) return true;
    for (const auto& entry : fs::directory_iterator(folder_ / "cur", error)) {
      if (entry.path().filename().string().rfind(name, 0) == 0) return true;
    }
    return false;
  }

  static Outcome Failed(std::string_view what) {
    return {v1::TEMPORARY_FAILURE, 0,
            fmt::format("maildir: {}: {}", what, std::generic_category().message(errno))};
  }

  const fs::path folder_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MailTransport>> NewMaildirTransport(const fs::path& folder) {
  for (const char* part : {"tmp", "new", "cur"}) {
    std::error_code error;
    fs::create_directories(folder / part, error);
    if (error) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "MAILDIR_UNUSABLE",
                       fmt::format("{}: {}", (folder / part).string(), error.message()));
    }
  }
  return std::make_unique<MaildirTransport>(folder);
}

}  // namespace yagura::notification
