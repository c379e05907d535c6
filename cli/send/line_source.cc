#include "cli/send/line_source.h"

#include <filesystem>
#include <iostream>

#include "cli/send/zstd_stream.h"
#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

bool IsPacked(std::string_view name) { return name.ends_with(".zst"); }

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
    if (in_->bad() && file_ > 0 && IsPacked(files_[file_ - 1])) {
      status_ = MakeError(absl::StatusCode::kDataLoss, "FILE_DAMAGED",
                          fmt::format("{} is not zstd, or damaged", files_[file_ - 1]));
      round_ = repeat_;
    }
    in_ = nullptr;
  }
}

}  // namespace yagura::cli
