#include "cli/detect/rule_files.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_limits.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxEntries = 200'000;
constexpr size_t kReadAtOnce = 64 * 1024;

bool IsRuleFile(const fs::path& path) {
  // "._x.yml" is what macOS puts beside x.yml.
  return (path.extension() == ".yml" || path.extension() == ".yaml") &&
         !path.filename().string().starts_with("._");
}

bool IsArchive(const std::string& path) {
  constexpr std::array<std::string_view, 7> kEnds = {".tar",    ".tar.gz",  ".tgz", ".tar.bz2",
                                                     ".tar.xz", ".tar.zst", ".zip"};
  const std::string name = ToLower(path);
  return std::ranges::any_of(kEnds, [&](std::string_view end) { return name.ends_with(end); });
}

absl::Status NoRules(const std::string& path, std::string_view why) {
  return MakeError(absl::StatusCode::kNotFound, "NO_RULES", fmt::format("{}: {}", path, why));
}

using Archive = std::unique_ptr<archive, decltype(&archive_read_free)>;

absl::Status Unreadable(const std::string& path, const Archive& in) {
  const char* const reason = archive_error_string(in.get());
  return MakeError(absl::StatusCode::kInvalidArgument, "ARCHIVE_UNREADABLE",
                   fmt::format("{} cannot be read as an archive: {}", path,
                               reason == nullptr ? "unknown reason" : reason));
}

// Of the entry that was begun. `left`: bytes that the archive may still have; negative where it has
// more, and then what is answered does not matter.
absl::StatusOr<std::string> ReadEntry(const Archive& in, const std::string& source, int64_t& left) {
  std::string text;
  std::string buffer(kReadAtOnce, '\0');
  for (;;) {
    const auto read = archive_read_data(in.get(), buffer.data(), buffer.size());
    if (read < 0) return Unreadable(source, in);
    if (read == 0) break;
    left -= read;
    if (left < 0) return std::string();
    text.append(buffer, 0, static_cast<size_t>(read));
    if (text.size() <= detection::kMaxRuleText) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
                     fmt::format("{} is larger than {} bytes", source, detection::kMaxRuleText));
  }
  if (IsValidUtf8(text)) return text;
  return MakeError(absl::StatusCode::kInvalidArgument, "FILE_NOT_UTF8",
                   fmt::format("{} is not UTF-8", source));
}

std::string NameOf(archive_entry* entry, int number) {
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  return name == nullptr ? fmt::format("entry {}", number) : ToValidUtf8(name);
}

// Passes over the entry that was begun; `left` as of ReadEntry.
void SkipEntry(const Archive& in, int64_t& left) {
  std::string buffer(kReadAtOnce, '\0');
  while (left >= 0) {
    const auto read = archive_read_data(in.get(), buffer.data(), buffer.size());
    if (read <= 0) return;  // what is damaged is told by the next
    left -= read;
  }
}

absl::Status VisitArchive(const std::string& path, const VisitRuleFile& visit, int64_t max_bytes) {
  const Archive in(archive_read_new(), &archive_read_free);
  // By name: among all that the library knows are some that start other programs.
  archive_read_support_format_tar(in.get());
  archive_read_support_format_zip(in.get());
  archive_read_support_filter_gzip(in.get());
  archive_read_support_filter_bzip2(in.get());
  archive_read_support_filter_xz(in.get());
  archive_read_support_filter_zstd(in.get());
  if (archive_read_open_filename(in.get(), path.c_str(), kReadAtOnce) != ARCHIVE_OK) {
    return Unreadable(path, in);
  }
  bool any = false;
  int64_t left = max_bytes;
  const auto too_large = [&] {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "ARCHIVE_TOO_LARGE",
        fmt::format("{} has more than {} entries or {} bytes", path, kMaxEntries, max_bytes));
  };
  for (int number = 1;; ++number) {
    archive_entry* entry = nullptr;
    const int got = archive_read_next_header(in.get(), &entry);
    if (got == ARCHIVE_EOF) break;
    if (got < ARCHIVE_WARN) return Unreadable(path, in);
    const bool has_size = archive_entry_size_is_set(entry) != 0;
    const int64_t size =
        has_size ? std::clamp<int64_t>(archive_entry_size(entry), 0, max_bytes + 1) : 0;
    if (number > kMaxEntries || size > left) return too_large();
    const std::string name = NameOf(entry, number);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr ||
        !IsRuleFile(name)) {
      left -= size;
      if (!has_size) SkipEntry(in, left);
      if (left < 0) return too_large();
      continue;
    }
    any = true;
    const std::string source = fmt::format("{}:{}", path, name);
    const int64_t after = left - size;
    auto text = ReadEntry(in, source, left);
    if (!has_size) SkipEntry(in, left);  // what is left of one that is too large
    if (left < 0) return too_large();
    left = std::min(left, after);
    YAGURA_RETURN_IF_ERROR(visit(source, std::move(text)));
  }
  return any ? absl::OkStatus() : NoRules(path, "has no rules");
}

absl::Status VisitFolder(const std::string& path, const VisitRuleFile& visit) {
  std::error_code error;
  std::vector<fs::path> files;
  for (auto at = fs::recursive_directory_iterator(path, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code gone;
    if (at->is_regular_file(gone) && IsRuleFile(at->path())) files.push_back(at->path());
  }
  if (error || files.empty()) return NoRules(path, error ? error.message() : "has no rules");
  std::ranges::sort(files);
  for (const auto& file : files) {
    const std::string source = file.string();
    YAGURA_RETURN_IF_ERROR(visit(source, ReadText(source, detection::kMaxRuleText)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ForEachRuleFile(const std::string& path, const VisitRuleFile& visit,
                             int64_t max_bytes) {
  std::error_code error;
  if (fs::is_directory(path, error)) return VisitFolder(path, visit);
  if (path != "-" && !fs::exists(path, error)) return NoRules(path, "is not there");
  if (IsArchive(path)) return VisitArchive(path, visit, max_bytes);
  return visit(path, ReadText(path, detection::kMaxRuleText));
}

}  // namespace yagura::cli
