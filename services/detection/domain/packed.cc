#include "services/detection/domain/packed.h"

#include <zstd.h>

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::detection {
namespace {

constexpr size_t kWorthwhile = 512;
constexpr size_t kMaxPlain = 256 << 20;
constexpr size_t kMaxKeptPlain = 1 << 20;
constexpr int kLevel = -1;  // docs/benchmarks.md, "The two steps of detection"
constexpr size_t kHeader = 2;
// No message of ours begins so: it would be field 5 before any other.
constexpr std::string_view kMagic = "\x28\xb5\x2f\xfd";

absl::Status Bad(std::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PACKED", what);
}

bool HasVersion(std::string_view bytes) { return bytes.size() >= kHeader && bytes[0] == '\0'; }

std::string_view BodyOf(std::string_view bytes) {
  return HasVersion(bytes) ? bytes.substr(kHeader) : bytes;
}

// UNAVAILABLE (NEWER_FORMAT) as of Unpack, without looking any further.
absl::Status CheckVersion(std::string_view bytes) {
  if (!HasVersion(bytes) || static_cast<uint8_t>(bytes[1]) <= kPackedVersion) {
    return absl::OkStatus();
  }
  return Unavailable("NEWER_FORMAT",
                     fmt::format("a later release wrote this in format {}; this one knows {} and "
                                 "leaves it to wait for that release",
                                 static_cast<uint8_t>(bytes[1]), kPackedVersion));
}

absl::Status CheckFrame(std::string_view frame) {
  const auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size > kMaxPlain)
    return Bad("is a frame of more than 256 MiB, or of none");  // marks of errors
  return ZSTD_findFrameCompressedSize(frame.data(), frame.size()) == frame.size()
             ? absl::OkStatus()
             : Bad("is a broken frame");
}

}  // namespace

void Packer::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Packer::Packer() : context_(ZSTD_createCCtx()) {}
Packer::~Packer() = default;

std::string Packer::Pack(const google::protobuf::MessageLite& message, uint8_t version) {
  std::string bytes = {'\0', static_cast<char>(version)};
  message.AppendToString(&bytes);
  const std::string_view plain = BodyOf(bytes);
  if (plain.size() < kWorthwhile || plain.size() > kMaxPlain || context_ == nullptr) return bytes;
  std::string packed(kHeader + ZSTD_compressBound(plain.size()), '\0');
  std::copy_n(bytes.begin(), kHeader, packed.begin());
  const size_t size =
      ZSTD_compressCCtx(context_.get(), packed.data() + kHeader, packed.size() - kHeader,
                        plain.data(), plain.size(), kLevel);
  if (ZSTD_isError(size) != 0 || size >= plain.size()) return bytes;
  packed.resize(kHeader + size);
  return packed;
}

absl::Status CheckPacked(std::string_view bytes) {
  YAGURA_RETURN_IF_ERROR(CheckVersion(bytes));
  const std::string_view body = BodyOf(bytes);
  return body.starts_with(kMagic) ? CheckFrame(body) : absl::OkStatus();
}

absl::Status Unpack(std::string_view bytes, google::protobuf::MessageLite& message) {
  return Unpacker().Unpack(bytes, message);
}

void Unpacker::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

Unpacker::Unpacker() = default;
Unpacker::~Unpacker() = default;

absl::Status Unpacker::Unpack(std::string_view bytes, google::protobuf::MessageLite& message) {
  YAGURA_RETURN_IF_ERROR(CheckVersion(bytes));
  const std::string_view body = BodyOf(bytes);
  if (!body.starts_with(kMagic)) {
    return message.ParseFromArray(body.data(), static_cast<int>(body.size()))
               ? absl::OkStatus()
               : Bad("is no message of its kind");
  }
  YAGURA_RETURN_IF_ERROR(CheckFrame(body));
  const auto size = ZSTD_getFrameContentSize(body.data(), body.size());
  if (context_ == nullptr) context_.reset(ZSTD_createDCtx());
  if (plain_.size() < size) plain_.resize(size);
  const bool is_read =
      context_ != nullptr &&
      ZSTD_decompressDCtx(context_.get(), plain_.data(), size, body.data(), body.size()) == size &&
      message.ParseFromArray(plain_.data(), static_cast<int>(size));
  if (plain_.size() > kMaxKeptPlain) std::string().swap(plain_);
  return is_read ? absl::OkStatus() : Bad("is a frame of no message of its kind");
}

size_t UnpackedSize(std::string_view bytes) {
  const std::string_view body = BodyOf(bytes);
  if (!body.starts_with(kMagic)) return body.size();
  const auto size = ZSTD_getFrameContentSize(body.data(), body.size());
  return size > kMaxPlain ? 0 : size;  // is refused
}

}  // namespace yagura::detection
