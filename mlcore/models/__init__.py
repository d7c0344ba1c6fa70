"""The models by name; each is imported only when it is asked for."""

from mlcore.models.make import make_model
from mlcore.plugins import MODELS

MODELS.register("lstm", "mlcore.models.lstm:LSTM")
MODELS.register("gru", "mlcore.models.gru:GRU")
MODELS.register("bilstm", "mlcore.models.bilstm:BiLSTM")
MODELS.register("attention_lstm", "mlcore.models.attention_lstm:AttentionLSTM")
MODELS.register("cnn_lstm", "mlcore.models.cnn_lstm:CNNLSTM")
MODELS.register("multiscale_lstm_cnn", "mlcore.models.multiscale_lstm_cnn:MultiscaleLSTMCNN")
MODELS.register("tcn", "mlcore.models.tcn:TCN")
MODELS.register("tcn_attention", "mlcore.models.tcn_attention:TCNAttention")
MODELS.register("transformer", "mlcore.models.transformer:Transformer")
MODELS.register("lightgbm", "mlcore.models.lightgbm:LightGBM")
MODELS.register("xgboost", "mlcore.models.xgboost:XGBoost")
MODELS.register("linear", "mlcore.models.linear:Linear")
MODELS.register("naive", "mlcore.models.naive:Naive")

__all__ = ["MODELS", "make_model"]
