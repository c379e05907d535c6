#include "services/detection/domain/packed.h"

#include <zstd.h>

namespace yagura::detection {
namespace {

constexpr size_t kWorthwhile = 512;
constexpr size_t kMaxPlain = 256 << 20;
constexpr int kLevel = 1;
// No message of ours begins so: it would be field 5 before any other.
constexpr std::string_view kMagic = "\x28\xb5\x2f\xfd";

}  // namespace

void Packer::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Packer::Packer() : context_(ZSTD_createCCtx()) {}
Packer::~Packer() = default;

std::string Packer::Pack(const google::protobuf::MessageLite& message) {
  std::string plain = message.SerializeAsString();
  if (plain.size() < kWorthwhile || context_ == nullptr) return plain;
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  const size_t size = ZSTD_compressCCtx(context_.get(), packed.data(), packed.size(), plain.data(),
                                        plain.size(), kLevel);
  if (ZSTD_isError(size) != 0 || size >= plain.size()) return plain;
  packed.resize(size);
  return packed;
}

bool Unpack(std::string_view bytes, google::protobuf::MessageLite& message) {
  if (!bytes.starts_with(kMagic)) {
    return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  }
  const auto size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size > kMaxPlain) return false;  // the marks of an error, too
  std::string plain(size, '\0');
  if (ZSTD_decompress(plain.data(), plain.size(), bytes.data(), bytes.size()) != size) return false;
  return message.ParseFromString(plain);
}

}  // namespace yagura::detection
