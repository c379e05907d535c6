#include "cli/export/event_export.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "cli/event_json.h"
#include "fmt/format.h"

#include "common/blob/file_io.h"
#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "simdjson.h"

namespace yagura::cli {
namespace {

constexpr std::string_view kState = "export.state";
constexpr std::string_view kManifest = "manifest.json";
constexpr std::string_view kSums = "SHA256SUMS";
constexpr size_t kMostState = 64 << 20;
constexpr mode_t kFileMode = 0600;
constexpr int kLevel = 3;

Status Broken(const std::filesystem::path& file, int error) {
  return MakeError(absl::StatusCode::kUnavailable, "EXPORT_IO",
                   fmt::format("{}: {}", file.string(), std::strerror(error)));
}

// A zstd file in the making, under another name until it is whole.
class PartFile {
 public:
  PartFile(const std::filesystem::path& folder, std::string name)
      : name_(std::move(name)),
        file_(folder / name_),
        making_(folder / (name_ + ".part")),
        zstd_(ZSTD_createCStream(), &ZSTD_freeCStream),
        packed_(ZSTD_CStreamOutSize(), '\0') {
    ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_compressionLevel, kLevel);
    ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_checksumFlag, 1);
  }
  ~PartFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  Status Open() {
    descriptor_ = open(making_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kFileMode);
    return descriptor_ < 0 ? Broken(making_, errno) : absl::OkStatus();
  }
  Status Write(std::string_view text) { return Compress(text, ZSTD_e_continue); }
  // The file is there whole then.
  Status Finish() {
    YAGURA_RETURN_IF_ERROR(Compress({}, ZSTD_e_end));
    if (fsync(descriptor_) != 0) return Broken(making_, errno);
    close(std::exchange(descriptor_, -1));
    if (rename(making_.c_str(), file_.c_str()) != 0) return Broken(file_, errno);
    return absl::OkStatus();
  }
  const std::string& name() const { return name_; }
  uint64_t bytes() const { return bytes_; }
  std::string Sha256() { return digest_.Hex(); }

 private:
  Status Compress(std::string_view text, ZSTD_EndDirective end) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    size_t left = 0;
    do {
      ZSTD_outBuffer out{packed_.data(), packed_.size(), 0};
      left = ZSTD_compressStream2(zstd_.get(), &out, &in, end);
      if (ZSTD_isError(left) != 0) return Internal(ZSTD_getErrorName(left));
      YAGURA_RETURN_IF_ERROR(Append({packed_.data(), out.pos}));
    } while (in.pos < in.size || (end == ZSTD_e_end && left != 0));
    return absl::OkStatus();
  }
  Status Append(std::string_view bytes) {
    digest_.Add(bytes);
    bytes_ += bytes.size();
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Broken(making_, errno);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  const std::string name_;
  const std::filesystem::path file_;
  const std::filesystem::path making_;
  const std::unique_ptr<ZSTD_CStream, decltype(&ZSTD_freeCStream)> zstd_;
  std::string packed_;
  Sha256Stream digest_;
  uint64_t bytes_ = 0;
  int descriptor_ = -1;
};

std::string QuestionJson(const ExportQuestion& question) {
  return fmt::format(R"("parent":{},"filter":{},"start_time":{},"end_time":{})",
                     QuoteJson(question.parent), QuoteJson(question.filter),
                     QuoteJson(question.start_time), QuoteJson(question.end_time));
}

std::string PartsJson(const std::vector<EventExport::Part>& parts, bool with_tokens) {
  std::vector<std::string> texts;
  for (const EventExport::Part& part : parts) {
    texts.push_back(
        fmt::format("{{\"name\":{},\"sha256\":\"{}\",\"events\":{},\"text_bytes\":{},\"bytes\":{},"
                    "\"first_receive_time\":{},\"last_receive_time\":{}{}}}",
                    QuoteJson(part.name), part.sha256, part.events, part.text_bytes, part.bytes,
                    QuoteJson(part.first_receive_time), QuoteJson(part.last_receive_time),
                    with_tokens ? ",\"page_token\":" + QuoteJson(part.page_token) : ""));
  }
  return fmt::format("\"files\":[{}]", Join(texts, ",\n"));
}

std::string RemarksJson(const std::vector<std::string>& remarks) {
  std::vector<std::string> texts;
  for (const std::string& remark : remarks) texts.push_back(QuoteJson(remark));
  return fmt::format("\"remarks\":[{}]", Join(texts, ","));
}

struct State {
  ExportQuestion question;
  std::vector<EventExport::Part> parts;
  std::vector<std::string> remarks;
  // Written by a release that kept one place alone, behind the last part.
  bool earlier_release = false;

  // Goes on behind the parts.
  std::string page_token() const { return parts.empty() ? "" : parts.back().page_token; }
};

std::string Text(simdjson::dom::element object, std::string_view member) {
  std::string_view text;
  return object[member].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

uint64_t Number(simdjson::dom::element object, std::string_view member) {
  uint64_t number = 0;
  return object[member].get(number) == simdjson::SUCCESS ? number : 0;
}

std::string PartName(size_t index) { return fmt::format("events-{:06}.jsonl.zst", index + 1); }

StatusOr<State> ReadState(const std::filesystem::path& folder) {
  YAGURA_ASSIGN_OR_RETURN(const std::string text, blob::ReadFile(folder / kState, kMostState));
  const Status wrong =
      MakeError(absl::StatusCode::kFailedPrecondition, "EXPORT_STATE",
                fmt::format("{} is not what an export writes", (folder / kState).string()));
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  simdjson::dom::array files;
  if (parser.parse(text).get(root) != simdjson::SUCCESS ||
      root["files"].get(files) != simdjson::SUCCESS) {
    return wrong;
  }
  State state;
  state.question = {Text(root, "parent"), Text(root, "filter"), Text(root, "start_time"),
                    Text(root, "end_time")};
  simdjson::dom::array remarks;
  if (root["remarks"].get(remarks) == simdjson::SUCCESS) {
    for (const simdjson::dom::element remark : remarks) {
      std::string_view words;
      if (remark.get(words) == simdjson::SUCCESS) state.remarks.emplace_back(words);
    }
  }
  for (const simdjson::dom::element file : files) {
    state.parts.push_back({Text(file, "name"), Text(file, "sha256"), Number(file, "events"),
                           Number(file, "text_bytes"), Number(file, "bytes"),
                           Text(file, "first_receive_time"), Text(file, "last_receive_time"),
                           Text(file, "page_token")});
    if (state.parts.back().name != PartName(state.parts.size() - 1)) return wrong;
  }
  const std::string place = Text(root, "page_token");
  const bool has_places = std::ranges::any_of(
      state.parts, [](const EventExport::Part& part) { return !part.page_token.empty(); });
  if (!state.parts.empty() && !place.empty() && !has_places) {
    state.parts.back().page_token = place;
    state.earlier_release = true;
  }
  return state;
}

// Whether the file is there as it was written.
bool IsWhole(const std::filesystem::path& folder, const EventExport::Part& part) {
  constexpr size_t kAtOnce = 1 << 20;
  std::ifstream file(folder / part.name, std::ios::binary);
  Sha256Stream digest;
  std::string bytes(kAtOnce, '\0');
  uint64_t size = 0;
  while (file && size <= part.bytes) {
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const auto read = static_cast<size_t>(file.gcount());
    digest.Add(std::string_view(bytes).substr(0, read));
    size += read;
  }
  return file.eof() && size == part.bytes && digest.Hex() == part.sha256;
}

}  // namespace

// Held while an export writes into a folder.
class FolderLock {
 public:
  FolderLock() = default;
  ~FolderLock() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  // Where a file system has no locks, nobody is kept out.
  Status Take(const std::filesystem::path& folder) {
    descriptor_ = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor_ < 0) return Broken(folder, errno);
    if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition, "EXPORT_RUNNING",
                     fmt::format("another export into {} runs", folder.string()));
  }

 private:
  int descriptor_ = -1;
};

struct EventExport::Impl {
  FolderLock lock;
  std::filesystem::path folder;
  uint64_t most_part_bytes = 0;
  State state;
  std::string altered;
  std::vector<std::string> dropped;
  std::unique_ptr<PartFile> file;
  Part part;  // of `file`
  uint64_t events = 0;
  uint64_t text_bytes = 0;
  std::string last_receive_time;

  Status Save() const {
    const std::string text =
        fmt::format("{{{},{},\n{}}}\n", QuestionJson(state.question), RemarksJson(state.remarks),
                    PartsJson(state.parts, /*with_tokens=*/true));
    return blob::WriteFileDurably(folder / kState, text, kFileMode, blob::IfExists::kReplace);
  }

  // Leaves the parts up to the first that is not as it was written, and of these those up to the
  // last that something can go on behind.
  Status KeepWhole() {
    auto& parts = state.parts;
    auto keep =
        std::ranges::find_if(parts, [this](const Part& one) { return !IsWhole(folder, one); });
    if (keep != parts.end()) altered = keep->name;
    while (keep != parts.begin() && std::prev(keep)->page_token.empty()) --keep;
    for (auto at = keep; at != parts.end(); ++at) dropped.push_back(at->name);
    parts.erase(keep, parts.end());
    if (state.earlier_release && !parts.empty()) {
      state.remarks.push_back(
          fmt::format("the files up to {} were exported by a release that did not wait until what "
                      "had been received was stored: what was stored later may be missing in them",
                      parts.back().name));
    } else if (dropped.empty()) {
      return absl::OkStatus();
    }
    YAGURA_RETURN_IF_ERROR(Save());
    std::error_code ignored;  // what stays is written over, or not in the manifest
    for (const std::string& name : dropped) std::filesystem::remove(folder / name, ignored);
    return absl::OkStatus();
  }

  Status EndPart() {
    if (file == nullptr) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(file->Finish());
    part.sha256 = file->Sha256();
    part.bytes = file->bytes();
    state.parts.push_back(std::exchange(part, {}));
    file.reset();
    return absl::OkStatus();
  }
};

EventExport::EventExport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventExport::~EventExport() = default;
EventExport::EventExport(EventExport&&) noexcept = default;
EventExport& EventExport::operator=(EventExport&&) noexcept = default;

StatusOr<ExportQuestion> EventExport::Unfinished(const std::filesystem::path& folder) {
  YAGURA_ASSIGN_OR_RETURN(const State state, ReadState(folder));
  return state.question;
}

StatusOr<EventExport> EventExport::Open(const std::filesystem::path& folder,
                                        const ExportQuestion& question, uint64_t most_part_bytes) {
  auto impl = std::make_unique<Impl>();
  impl->folder = folder;
  impl->most_part_bytes = most_part_bytes;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Broken(folder, error.value());
  YAGURA_RETURN_IF_ERROR(impl->lock.Take(folder));
  auto state = ReadState(folder);
  if (state.ok()) {
    if (!(state->question == question)) {
      return MakeError(
          absl::StatusCode::kInvalidArgument, "EXPORT_DIFFERS",
          fmt::format("{} has an unfinished export of something else: {} from {} to {}",
                      folder.string(), state->question.parent, state->question.start_time,
                      state->question.end_time));
    }
    impl->state = *std::move(state);
    YAGURA_RETURN_IF_ERROR(impl->KeepWhole());
    for (const Part& part : impl->state.parts) {
      impl->events += part.events;
      impl->text_bytes += part.text_bytes;
      impl->last_receive_time = part.last_receive_time;
    }
    return EventExport(std::move(impl));
  }
  if (!absl::IsNotFound(state.status())) return state.status();
  if (!std::filesystem::is_empty(folder, error) || error) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "EXPORT_FOLDER_NOT_EMPTY",
                     fmt::format("{} is not empty", folder.string()));
  }
  impl->state.question = question;
  YAGURA_RETURN_IF_ERROR(impl->Save());
  return EventExport(std::move(impl));
}

const std::string& EventExport::altered() const { return impl_->altered; }
const std::vector<std::string>& EventExport::dropped() const { return impl_->dropped; }
const std::vector<std::string>& EventExport::remarks() const { return impl_->state.remarks; }
std::string EventExport::page_token() const { return impl_->state.page_token(); }
uint64_t EventExport::events() const { return impl_->events; }
uint64_t EventExport::text_bytes() const { return impl_->text_bytes; }
const std::vector<EventExport::Part>& EventExport::parts() const { return impl_->state.parts; }
const std::string& EventExport::last_receive_time() const { return impl_->last_receive_time; }

Status EventExport::Add(const event::v1::Event& event) {
  Impl& impl = *impl_;
  if (impl.file == nullptr) {
    impl.file = std::make_unique<PartFile>(impl.folder, PartName(impl.state.parts.size()));
    YAGURA_RETURN_IF_ERROR(impl.file->Open());
    impl.part.name = impl.file->name();
  }
  const std::string line = EventToJson(event) + "\n";
  YAGURA_RETURN_IF_ERROR(impl.file->Write(line));
  impl.last_receive_time = FormatTime(FromProto(event.receive_time()));
  if (impl.part.events == 0) impl.part.first_receive_time = impl.last_receive_time;
  impl.part.last_receive_time = impl.last_receive_time;
  ++impl.part.events;
  impl.part.text_bytes += line.size();
  ++impl.events;
  impl.text_bytes += line.size();
  return absl::OkStatus();
}

Status EventExport::Reached(const std::string& page_token) {
  Impl& impl = *impl_;
  if (impl.file == nullptr || impl.part.text_bytes < impl.most_part_bytes) return absl::OkStatus();
  impl.part.page_token = page_token;
  YAGURA_RETURN_IF_ERROR(impl.EndPart());
  return impl.Save();
}

Status EventExport::Remark(const std::string& remark) {
  impl_->state.remarks.push_back(remark);
  return impl_->Save();
}

Status EventExport::Finish(std::string_view extra) {
  Impl& impl = *impl_;
  YAGURA_RETURN_IF_ERROR(impl.EndPart());
  const std::string manifest = fmt::format(
      "{{\"format\":\"yagura.export.v1\",{},\"events\":{},\"text_bytes\":{},{},{}{}\n{}}}\n",
      QuestionJson(impl.state.question), impl.events, impl.text_bytes,
      RemarksJson(impl.state.remarks), extra, extra.empty() ? "" : ",",
      PartsJson(impl.state.parts, /*with_tokens=*/false));
  std::string sums;
  for (const Part& part : impl.state.parts) {
    sums += fmt::format("{}  {}\n", part.sha256, part.name);
  }
  sums += fmt::format("{}  {}\n", Sha256Hex(manifest), kManifest);
  YAGURA_RETURN_IF_ERROR(blob::WriteFileDurably(impl.folder / kManifest, manifest, kFileMode,
                                                blob::IfExists::kReplace));
  YAGURA_RETURN_IF_ERROR(
      blob::WriteFileDurably(impl.folder / kSums, sums, kFileMode, blob::IfExists::kReplace));
  std::error_code ignored;
  std::filesystem::remove(impl.folder / kState, ignored);
  return absl::OkStatus();
}

}  // namespace yagura::cli
