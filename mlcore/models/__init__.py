"""The models by name; each is imported only when it is asked for."""

from mlcore.models.make import make_model
from mlcore.plugins import MODELS

MODELS.register("lstm", "mlcore.models.lstm:LSTM")
MODELS.register("gru", "mlcore.models.gru:GRU")
MODELS.register("bilstm", "mlcore.models.bilstm:BiLSTM")
MODELS.register("attention_lstm", "mlcore.models.attention_lstm:AttentionLSTM")
MODELS.register("cnn_lstm", "mlcore.models.cnn_lstm:CNNLSTM")
MODELS.register("multiscale_lstm_cnn", "mlcore.models.multiscale_lstm_cnn:MultiscaleLSTMCNN")
MODELS.register("dual_stream", "mlcore.models.dual_stream:DualStream")
MODELS.register("garch_lstm", "mlcore.models.garch_lstm:GarchLSTM")
MODELS.register("tcn", "mlcore.models.tcn:TCN")
MODELS.register("tcn_attention", "mlcore.models.tcn_attention:TCNAttention")
MODELS.register("transformer", "mlcore.models.transformer:Transformer")
MODELS.register("tft", "mlcore.models.tft:TFT")
MODELS.register("informer", "mlcore.models.informer:Informer")
MODELS.register("autoformer", "mlcore.models.autoformer:Autoformer")
MODELS.register("lightgbm", "mlcore.models.lightgbm:LightGBM")
MODELS.register("xgboost", "mlcore.models.xgboost:XGBoost")
MODELS.register("hybrid", "mlcore.models.hybrid:Hybrid")
MODELS.register("linear", "mlcore.models.linear:Linear")
MODELS.register("average", "mlcore.models.average:Average")
MODELS.register("vote", "mlcore.models.vote:Vote")
MODELS.register("stack", "mlcore.models.stack:Stack")
MODELS.register("regime_stack", "mlcore.models.regime_stack:RegimeStack")
MODELS.register("meta", "mlcore.models.meta:Meta")
MODELS.register("naive", "mlcore.models.naive:Naive")

__all__ = ["MODELS", "make_model"]
