#include "cli/send/line_source.h"

#include <array>
#include <filesystem>
#include <iostream>
#include <string_view>
#include <utility>

#include "cli/send/zstd_stream.h"
#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

bool IsPacked(std::string_view name) { return name.ends_with(".zst"); }

// What a file is that has no lines as it is; empty: nothing that is known.
std::string_view KindWithoutLines(const std::string& file) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kKinds = {{
      {"\x1f\x8b", "packed with gzip"},
      {"BZh", "packed with bzip2"},
      {"\xfd"
       "7zXZ",
       "packed with xz"},
      {"\x28\xb5\x2f\xfd", "packed with zstd, without a name that ends in .zst"},
      {"PK\x03\x04", "a zip archive"},
      {"7z\xbc\xaf\x27\x1c", "a 7z archive"},
      {"ElfFile", "a Windows event log (.evtx): export its events as JSON"},
  }};
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return {};
  std::string head(8, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  for (const auto& [begin, kind] : kKinds) {
    if (head.starts_with(begin)) return kind;
  }
  return {};
}

}  // namespace

absl::StatusOr<LineSource> LineSource::Open(std::vector<std::string> files, int repeat) {
  LineSource source(std::move(files), repeat);
  bool known = true;
  for (const auto& file : source.files_) {
    if (file == "-") {
      known = false;
      if (repeat > 1) return InvalidField("repeat", "standard input cannot be repeated");
      continue;
    }
    std::error_code error;
    if (!std::ifstream(file) || std::filesystem::is_directory(file, error)) {
      return MakeError(absl::StatusCode::kNotFound, "FILE_UNREADABLE",
                       fmt::format("cannot read {}", file));
    }
    if (const auto kind = KindWithoutLines(file); !kind.empty() && !IsPacked(file)) {
      return MakeError(absl::StatusCode::kInvalidArgument, "FILE_UNREADABLE",
                       fmt::format("{} is {}", file, kind));
    }
    const uint64_t size =
        IsPacked(file) ? ZstdTextSize(file) : std::filesystem::file_size(file, error);
    if (error || (IsPacked(file) && size == 0)) known = false;
    source.total_bytes_ += error ? 0 : size * static_cast<uint64_t>(repeat);
  }
  if (!known) source.total_bytes_ = 0;
  return source;
}

bool LineSource::OpenNext() {
  if (file_ == files_.size()) {
    file_ = 0;
    ++round_;
  }
  if (round_ >= repeat_ || files_.empty()) return false;
  const auto& name = files_[file_++];
  ++opened_;
  if (name == "-") {
    in_ = &std::cin;
  } else {
    stream_ =
        IsPacked(name) ? OpenZstd(name) : std::make_unique<std::ifstream>(name, std::ios::binary);
    in_ = stream_.get();
  }
  return true;
}

void LineSource::NoteDamage(const std::string& file) {
  if (!damaged_.insert(file).second) return;
  const std::string what = IsPacked(file) ? fmt::format("{} is not zstd, or damaged", file)
                                          : fmt::format("{} cannot be read to its end", file);
  status_ = MakeError(absl::StatusCode::kDataLoss, "FILE_DAMAGED",
                      status_.ok() ? what : fmt::format("{}; {}", Message(status_), what));
}

bool LineSource::Next(std::string& line, size_t longest) {
  for (;;) {
    if (in_ == nullptr && !OpenNext()) return false;
    if (std::getline(*in_, line)) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) continue;
      if (line.size() > kKeptBytes) ++long_lines_;
      if (line.size() > longest) line.resize(longest);
      return true;
    }
    if (in_->bad() && file_ > 0) NoteDamage(files_[file_ - 1]);
    in_ = nullptr;
  }
}

}  // namespace yagura::cli
