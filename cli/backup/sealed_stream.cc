#include "cli/backup/sealed_stream.h"

#include <array>
#include <utility>

#include "common/status/status.h"

namespace yagura::cli {
namespace {

constexpr std::string_view kMagic = "YGB1";
constexpr size_t kHeadBytes = 4 + crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr size_t kChunk = 1 << 20;
constexpr size_t kSealedChunk = kChunk + crypto_secretstream_xchacha20poly1305_ABYTES;

static_assert(seal::SecretKey::kBytes == crypto_secretstream_xchacha20poly1305_KEYBYTES);

seal::SecretKey KeyOfFile(const seal::SecretKey& key, std::string_view name) {
  std::array<unsigned char, seal::SecretKey::kBytes> bytes{};
  crypto_generichash(bytes.data(), bytes.size(),
                     reinterpret_cast<const unsigned char*>(name.data()), name.size(), key.data(),
                     seal::SecretKey::kBytes);
  auto derived =
      seal::SecretKey::FromBytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  sodium_memzero(bytes.data(), bytes.size());
  return derived;
}

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Status Damaged(std::string_view what) {
  return MakeError(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED", what);
}

}  // namespace

SealingStream::SealingStream(const seal::SecretKey& key, std::string_view name, ByteSink sink)
    : state_{}, sink_(std::move(sink)), head_(kMagic) {
  head_.resize(kHeadBytes);
  const seal::SecretKey own = KeyOfFile(key, name);
  crypto_secretstream_xchacha20poly1305_init_push(
      &state_, reinterpret_cast<unsigned char*>(head_.data() + kMagic.size()), own.data());
}

Status SealingStream::Push(std::string_view chunk, unsigned char tag) {
  if (!head_.empty()) {
    YAGURA_RETURN_IF_ERROR(sink_(head_));
    head_.clear();
  }
  std::string sealed(chunk.size() + crypto_secretstream_xchacha20poly1305_ABYTES, '\0');
  crypto_secretstream_xchacha20poly1305_push(&state_,
                                             reinterpret_cast<unsigned char*>(sealed.data()),
                                             nullptr, Bytes(chunk), chunk.size(), nullptr, 0, tag);
  return sink_(sealed);
}

Status SealingStream::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    // A full chunk is written once more bytes follow: the last one may be full, too.
    if (buffer_.size() == kChunk) {
      YAGURA_RETURN_IF_ERROR(Push(buffer_, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE));
      buffer_.clear();
    }
    const std::string_view piece = bytes.substr(0, kChunk - buffer_.size());
    buffer_ += piece;
    bytes.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

Status SealingStream::Finish() {
  return Push(buffer_, crypto_secretstream_xchacha20poly1305_TAG_FINAL);
}

OpeningStream::OpeningStream(const seal::SecretKey& key, std::string_view name, ByteSink sink)
    : key_(KeyOfFile(key, name)), state_{}, sink_(std::move(sink)) {}

Status OpeningStream::Begin() {
  if (!std::string_view(buffer_).starts_with(kMagic))
    return Damaged("is not encrypted as it is to be");
  const int begun = crypto_secretstream_xchacha20poly1305_init_pull(
      &state_, Bytes(buffer_) + kMagic.size(), key_.data());
  if (begun != 0) return Damaged("cannot be decrypted");
  buffer_.erase(0, kHeadBytes);
  begun_ = true;
  return absl::OkStatus();
}

Status OpeningStream::Pull(std::string_view chunk) {
  constexpr size_t kExtra = crypto_secretstream_xchacha20poly1305_ABYTES;
  if (ended_ || chunk.size() < kExtra) return Damaged("ends in the wrong place");
  std::string text(chunk.size() - kExtra, '\0');
  unsigned char tag = 0;
  const int opened = crypto_secretstream_xchacha20poly1305_pull(
      &state_, reinterpret_cast<unsigned char*>(text.data()), nullptr, &tag, Bytes(chunk),
      chunk.size(), nullptr, 0);
  if (opened != 0) return Damaged("cannot be decrypted");
  ended_ = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
  return text.empty() ? absl::OkStatus() : sink_(text);
}

Status OpeningStream::Add(std::string_view bytes) {
  buffer_ += bytes;
  if (!begun_) {
    if (buffer_.size() < kHeadBytes) return absl::OkStatus();
    YAGURA_RETURN_IF_ERROR(Begin());
  }
  size_t place = 0;
  for (; buffer_.size() - place > kSealedChunk; place += kSealedChunk) {
    YAGURA_RETURN_IF_ERROR(Pull(std::string_view(buffer_).substr(place, kSealedChunk)));
  }
  buffer_.erase(0, place);
  return absl::OkStatus();
}

Status OpeningStream::Finish() {
  if (!begun_) return Damaged("ends in the wrong place");
  YAGURA_RETURN_IF_ERROR(Pull(buffer_));
  return ended_ ? absl::OkStatus() : Damaged("ends in the wrong place");
}

}  // namespace yagura::cli
