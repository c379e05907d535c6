#include "common/seal/keyring.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "gtest/gtest.h"

#include "common/seal/sealed_box.h"
#include "common/status/status.h"

namespace yagura::seal {
namespace {

namespace fs = std::filesystem;

constexpr Binding kBinding{"acme", "credential", "tenants/acme/credentials/root"};

class KeyringTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "yagura-seal-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    data_keys_ = *OpenFolderDataKeys(folder_ / "data-keys");
  }
  void TearDown() override { fs::remove_all(folder_); }

  StatusOr<std::unique_ptr<Keyring>> Open() { return Keyring::Open(KekFile(), data_keys_); }
  fs::path KekFile() const { return folder_ / "kek"; }
  std::string AllFiles() const {
    std::ostringstream out;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) out << std::ifstream(entry.path()).rdbuf();
    }
    return out.str();
  }

  fs::path folder_;
  std::shared_ptr<DataKeyStore> data_keys_;
};

TEST_F(KeyringTest, OpensWhatItSealedAlsoAfterARestart) {
  const std::string sealed = *(*Open())->Seal(kBinding, "hunter2");
  EXPECT_EQ(sealed.find("hunter2"), std::string::npos);
  EXPECT_EQ(*(*Open())->Open(kBinding, sealed), "hunter2");
}

TEST_F(KeyringTest, SealsTheSameTextDifferentlyEachTime) {
  auto ring = *Open();
  EXPECT_NE(*ring->Seal(kBinding, "x"), *ring->Seal(kBinding, "x"));
}

TEST_F(KeyringTest, RefusesAnotherTenantKindOrId) {
  auto ring = *Open();
  const std::string sealed = *ring->Seal(kBinding, "hunter2");
  ASSERT_TRUE(ring->Seal({"globex", "credential", "x"}, "y").ok());
  for (const Binding& other :
       {Binding{"globex", kBinding.kind, kBinding.id},
        Binding{kBinding.tenant, "snapshot", kBinding.id},
        Binding{kBinding.tenant, "cRedential", kBinding.id},
        Binding{kBinding.tenant, kBinding.kind, "other"},
        Binding{kBinding.tenant, kBinding.kind, "tenants/acme/credentials/rooT"}}) {
    EXPECT_EQ(ErrorReason(ring->Open(other, sealed).status()), "SEAL_BROKEN");
  }
}

TEST_F(KeyringTest, NoticesEveryFlippedBit) {
  auto ring = *Open();
  const std::string sealed = *ring->Seal(kBinding, "short");
  for (size_t i = 0; i < sealed.size() * 8; ++i) {
    std::string broken = sealed;
    broken[i / 8] = static_cast<char>(broken[i / 8] ^ (1 << (i % 8)));
    EXPECT_FALSE(ring->Open(kBinding, broken).ok()) << "bit " << i;
  }
  for (size_t length = 0; length < sealed.size(); ++length) {
    EXPECT_FALSE(ring->Open(kBinding, sealed.substr(0, length)).ok()) << "length " << length;
  }
}

TEST_F(KeyringTest, BindsPartsWithTheirLengths) {
  const SecretKey key = SecretKey::Random();
  EXPECT_FALSE(OpenBox(key, {"a", "bc"}, SealBox(key, 1, {"ab", "c"}, "text")).ok());
}

TEST_F(KeyringTest, MakesTheKekFileForItsOwnerAlone) {
  ASSERT_TRUE(Open().ok());
  struct stat facts = {};
  ASSERT_EQ(stat(KekFile().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  fs::permissions(KekFile(), fs::perms::group_read, fs::perm_options::add);
  EXPECT_EQ(ErrorReason(Open().status()), "KEK_FILE_INVALID");
}

TEST_F(KeyringTest, RefusesADamagedKekFileWithoutShowingIt) {
  ASSERT_TRUE(Open().ok());
  std::ofstream(KekFile(), std::ios::app) << "2 c2hvcnQ=\n";
  const Status status = Open().status();
  EXPECT_EQ(ErrorReason(status), "KEK_FILE_INVALID");
  EXPECT_EQ(Message(status).find("c2hvcnQ"), std::string::npos);
}

TEST_F(KeyringTest, RotationRewrapsEveryDataKeyAndOldValuesStillOpen) {
  auto ring = *Open();
  const std::string acme = *ring->Seal(kBinding, "one");
  const Binding other{"globex", "snapshot", "s"};
  const std::string globex = *ring->Seal(other, "two");
  const std::string before = *data_keys_->Get({"acme", 1});

  ASSERT_TRUE(ring->RotateKek().ok());

  EXPECT_EQ(ring->kek_version(), 2u);
  EXPECT_NE(*data_keys_->Get({"acme", 1}), before);
  EXPECT_EQ(*KeyVersionOf(*data_keys_->Get({"globex", 1})), 2u);
  ASSERT_TRUE(ring->PruneKeks().ok());
  auto restarted = *Open();
  EXPECT_EQ(*restarted->Open(kBinding, acme), "one");
  EXPECT_EQ(*restarted->Open(other, globex), "two");
}

TEST_F(KeyringTest, SaysWhichKekIsMissing) {
  const std::string sealed = *(*Open())->Seal(kBinding, "one");
  fs::remove(KekFile());
  auto ring = *Open();
  ASSERT_TRUE(ring->RotateKek().code() == absl::StatusCode::kDataLoss);  // another key 1
  EXPECT_FALSE(ring->Open(kBinding, sealed).ok());
}

TEST_F(KeyringTest, ANewDataKeySealsFromThenOnAndTheOldStillOpens) {
  auto ring = *Open();
  const std::string old = *ring->Seal(kBinding, "old");
  ASSERT_TRUE(ring->RotateDataKey("acme").ok());
  const std::string fresh = *ring->Seal(kBinding, "new");
  EXPECT_EQ(*KeyVersionOf(old), 1u);
  EXPECT_EQ(*KeyVersionOf(fresh), 2u);
  auto restarted = *Open();
  EXPECT_EQ(*restarted->Open(kBinding, old), "old");
  EXPECT_EQ(*KeyVersionOf(*restarted->Seal(kBinding, "newer")), 2u);
}

TEST_F(KeyringTest, AnErasedTenantCannotBeOpenedAgain) {
  auto ring = *Open();
  const std::string sealed = *ring->Seal(kBinding, "gone");
  const Binding other{"globex", "snapshot", "s"};
  const std::string kept = *ring->Seal(other, "kept");
  ASSERT_TRUE(ring->EraseTenant("acme").ok());
  EXPECT_FALSE(ring->Open(kBinding, sealed).ok());
  EXPECT_EQ(*ring->Open(other, kept), "kept");
}

TEST_F(KeyringTest, FingerprintsAreStableAndTheTenantsOwn) {
  auto ring = *Open();
  const std::string print = *ring->Fingerprint("acme", "snapshot", "text");
  ASSERT_TRUE(ring->RotateKek().ok());
  ASSERT_TRUE(ring->RotateDataKey("acme").ok());
  EXPECT_EQ(*(*Open())->Fingerprint("acme", "snapshot", "text"), print);
  EXPECT_NE(*ring->Fingerprint("acme", "candidate", "text"), print);
  EXPECT_NE(*ring->Fingerprint("globex", "snapshot", "text"), print);
  EXPECT_EQ(print.size(), 64u);
}

TEST_F(KeyringTest, ManyRingsAgreeOnTheFirstDataKey) {
  ASSERT_TRUE(Open().ok());
  std::vector<std::thread> threads;
  std::vector<std::string> sealed(8);
  for (size_t i = 0; i < sealed.size(); ++i) {
    threads.emplace_back([&, i] { sealed[i] = *(*Open())->Seal(kBinding, "same"); });
  }
  for (auto& thread : threads) thread.join();
  auto ring = *Open();
  for (const std::string& value : sealed) EXPECT_EQ(*ring->Open(kBinding, value), "same");
}

TEST_F(KeyringTest, NoFileHoldsTheText) {
  auto ring = *Open();
  ASSERT_TRUE(ring->Seal(kBinding, "correct horse battery staple").ok());
  EXPECT_EQ(AllFiles().find("correct horse"), std::string::npos);
}

TEST_F(KeyringTest, RefusesTenantsThatAreNoIds) {
  auto ring = *Open();
  for (const char* tenant : {"", "../x", "a/b", "A"}) {
    EXPECT_EQ(ring->Seal({tenant, "k", "i"}, "x").status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace yagura::seal
